package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// Join implements [remote.Store]: it makes the worker's row, or counts up in it.
// The first time it lists the worker's queues, and learns which are paused.
func (s *serve) Join(ctx context.Context) error {
	if _, err := s.e.exec(ctx, s.e.sql.beat, s.owner, s.Slots, s.Queues, s.Names); err != nil || s.listed.Load() {
		return err
	}
	if _, err := s.listQueues(ctx); err != nil { // before the first claim: some may be paused
		return err
	}
	s.listed.Store(true)
	return nil
}

// Leave implements [remote.Store].
func (s *serve) Leave(ctx context.Context) error {
	_, err := s.e.exec(ctx, s.e.sql.leave, s.owner)
	return err
}

// Running implements [remote.Store]. It learns beside which queues are paused.
func (s *serve) Running(ctx context.Context) (*remote.Running[claim], error) {
	if err := s.readPaused(ctx); err != nil {
		return nil, err
	}
	r := &remote.Running[claim]{Mine: make(map[claim]remote.Cancel)}
	err := s.e.query(ctx, s.e.sql.mine, []any{s.owner}, func(scan func(...any) error) error {
		var c claim
		var cancel remote.Cancel
		if err := scan(&c.job, &c.attempt, &cancel.Cancelled, &cancel.Reason); err != nil {
			return err
		}
		r.Mine[c] = cancel
		return nil
	})
	return r, err
}

// Beats implements [remote.Store].
func (s *serve) Beats(ctx context.Context, _ map[string][]claim) (map[string]string, error) {
	present := make(map[string]string)
	err := s.e.query(ctx, s.e.sql.others, []any{s.owner}, func(scan func(...any) error) error {
		var owner string
		var beats int64
		if err := scan(&owner, &beats); err != nil {
			return err
		}
		present[owner] = strconv.FormatInt(beats, 10)
		return nil
	})
	return present, err
}

// TakeOver implements [remote.Store].
func (s *serve) TakeOver(ctx context.Context, owner, beats string, _ []claim) (tasks int, gone bool, err error) {
	count, err := strconv.ParseInt(beats, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("take over from %s: %w", owner, err)
	}
	var told, rows int
	err = s.e.row(ctx, s.e.sql.takeOver, []any{owner, count, remote.ErrWorkerLost, s.e.sql.insertChannel},
		&tasks, &told, &rows)
	return tasks, tasks > 0 || rows > 0, err
}

// readPaused learns which queues are paused, by River's tools.
func (s *serve) readPaused(ctx context.Context) error {
	paused := make(map[string]bool)
	err := s.e.query(ctx, s.e.sql.paused, []any{s.Queues}, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		paused[name] = true
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	fewer := len(paused) < len(s.paused)
	s.paused = paused
	s.mu.Unlock()
	if fewer {
		s.News()
	}
	return nil
}
