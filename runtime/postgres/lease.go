package postgres

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// Join implements [remote.Store]: it makes the worker's row, or counts up its
// beat. The first time it lists the worker's queues, and learns which are
// paused.
func (s *serve) Join(ctx context.Context) error {
	if _, err := s.e.exec(ctx, s.e.sql.beat, s.owner, s.Slots, s.Queues, s.Names, s.host, os.Getpid()); err != nil || s.listed.Load() {
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

// Running implements [remote.Store]. It also learns which queues are paused.
//
// If many dead rows stay, finding all running tasks means reading all that
// have run. Then it asks only for those that run here, and takes the others
// from the search, unless a step's answer was lost just now: what that claimed is
// known to nobody.
func (s *serve) Running(ctx context.Context) (*remote.Running[claim], error) {
	if err := s.readPaused(ctx); err != nil {
		return nil, err
	}
	r := &remote.Running[claim]{Mine: make(map[claim]remote.Cancel)}
	collect := func(rows pgx.Rows) error {
		var c claim
		var cancel remote.Cancel
		_, err := pgx.ForEachRow(rows, []any{&c.job, &c.attempt, &cancel.Cancelled, &cancel.Reason}, func() error {
			r.Mine[c] = cancel
			return nil
		})
		return err
	}
	known, unsure, b := s.dead.known(), s.unsure.Swap(false), new(pgx.Batch)
	if known && !unsure {
		ids := s.dead.worker(s.owner)
		for _, c := range s.Active() {
			ids = append(ids, c.job)
		}
		b.Queue(s.e.sql.mineOf, s.owner, ids).Query(collect)
		return r, s.e.send(ctx, callTimeout, b)
	}
	if known {
		b.Queue("SELECT set_config('statement_timeout', '" + unsureTimeout + "', true)")
	}
	l := s.measured(b, func(b *pgx.Batch) { b.Queue(s.e.sql.mine, s.owner).Query(collect) })
	if err := s.e.send(ctx, callTimeout, b); err != nil {
		if unsure && sqlState(err) != queryCanceled {
			s.unsure.Store(true)
		}
		return nil, err
	}
	s.dead.lookedRunning(*l)
	return r, nil
}

// unsureTimeout bounds, on the server, the look at all running tasks beside dead rows,
// after a step whose answer was lost: the next one leaves them to the search.
const unsureTimeout = "2s"

// Beats implements [remote.Store].
func (s *serve) Beats(ctx context.Context, _ map[string][]claim) (map[string]string, error) {
	present := make(map[string]string)
	known, text := s.dead.known(), s.e.sql.others
	if known {
		text = s.e.sql.workers
	}
	err := s.e.query(ctx, text, []any{s.owner}, func(scan func(...any) error) error {
		var owner string
		var beats int64
		if err := scan(&owner, &beats); err != nil {
			return err
		}
		present[owner] = strconv.FormatInt(beats, 10)
		return nil
	})
	if known {
		s.dead.owners(func(owner string) {
			if _, ok := present[owner]; !ok && owner != s.owner {
				present[owner] = "0"
			}
		})
	}
	return present, err
}

// TakeOver implements [remote.Store].
func (s *serve) TakeOver(ctx context.Context, worker, beat string, _ []claim) (tasks int, lost bool, err error) {
	count, err := strconv.ParseInt(beat, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("take over from %s: %w", worker, err)
	}
	var stopped []int64 // they end as cancelled
	if err := s.e.query(ctx, s.e.sql.journal.stopped, []any{worker}, scanIDs(&stopped)); err != nil {
		return 0, false, err
	}
	args := []any{worker, count, remote.ErrWorkerLost, s.e.sql.insertChannel}
	ended, here, err := s.takeOverStopped(ctx, args, stopped)
	if err != nil {
		return ended, here, err
	}
	defer func() { tasks, lost = tasks+ended, lost || here }()
	if s.dead.known() {
		return s.takeOverOf(ctx, args, s.dead.worker(worker))
	}
	tasks, lost, err = s.takeOver(ctx, s.e.sql.takeOver, args)
	if !ofOneRow(err) {
		return tasks, lost, err
	}
	var ids []int64
	if err := s.e.query(ctx, s.e.sql.runningOf, []any{worker}, scanIDs(&ids)); err != nil {
		return 0, false, err
	}
	return s.takeOverOf(ctx, args, ids)
}

// takeOverStopped ends tasks of a worker that were asked to stop, and writes their
// ends into the journals of their parents, all in one step. Those that are asked
// meanwhile are left to the next look.
func (s *serve) takeOverStopped(ctx context.Context, args []any, ids []int64) (tasks int, lost bool, err error) {
	ids = slices.DeleteFunc(ids, s.aside.has)
	if len(ids) == 0 {
		return 0, false, nil
	}
	failed, err := halved([][]int64{ids}, func(some []int64) error {
		var ended, told, rows int
		err := s.e.inTx(ctx, func(ctx context.Context, d db) error {
			return s.e.endingIn(ctx, d, some, func() error {
				return d.query(ctx, s.e.sql.takeOverStopped, append(args[:len(args):len(args)], some),
					func(scan func(...any) error) error { return scan(&ended, &told, &rows) })
			})
		})
		if err == nil {
			tasks, lost = tasks+ended, lost || ended > 0 || rows > 0
		}
		return err
	})
	for _, f := range failed {
		s.setAside(ctx, f.row, "end a task of a lost worker", f.err)
	}
	return tasks, lost, err
}

func (s *serve) takeOver(ctx context.Context, text string, args []any) (tasks int, lost bool, err error) {
	var told, rows int
	err = s.e.row(ctx, text, args, &tasks, &told, &rows)
	return tasks, tasks > 0 || rows > 0, err
}

// takeOverOf makes tasks of a worker available to others, except those that
// the server refuses to change.
func (s *serve) takeOverOf(ctx context.Context, args []any, ids []int64) (tasks int, lost bool, err error) {
	ids = slices.DeleteFunc(ids, s.aside.has)
	failed, err := halved([][]int64{ids}, func(some []int64) error {
		n, here, err := s.takeOver(ctx, s.e.sql.takeOverOf, append(args[:len(args):len(args)], some))
		tasks, lost = tasks+n, lost || here
		return err
	})
	for _, f := range failed {
		s.setAside(ctx, f.row, "take over from a lost worker", f.err)
	}
	return tasks, lost, err
}

// readPaused learns which queues River's tools have paused, and which names are.
func (s *serve) readPaused(ctx context.Context) error {
	paused := make(map[engine.Pause]bool)
	s.mu.Lock()
	pauses := s.pauses
	s.mu.Unlock()
	err := s.e.query(ctx, s.e.sql.paused, []any{s.Queues, s.Names}, func(scan func(...any) error) error {
		var p engine.Pause
		err := scan(&p.Queue, &p.Name)
		paused[p] = true
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	resumed := false
	for p := range s.paused {
		resumed = resumed || !paused[p]
	}
	if s.pauses != pauses { // what was read is older
		resumed = false
		s.Check()
	} else {
		s.paused = paused
	}
	s.mu.Unlock()
	if !resumed {
		return nil
	}
	s.News()
	defer s.sweepNow()
	return s.e.hurrySweep(ctx) // River's tools may have resumed it
}
