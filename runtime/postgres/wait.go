package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// A goroutine asks for all awaited tasks with one query, more and more rarely
// while nothing ends.
const (
	firstLook = 2 * time.Millisecond
	lastLook  = 250 * time.Millisecond
)

// Wait implements [engine.Waiter].
func (e *Engine) Wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	job, err := e.find(id)
	if err != nil {
		return nil, err
	}
	return e.watch.Wait(ctx, job, func(ctx context.Context) (*engine.Entry, error) {
		e.watch.Look()
		return e.read(ctx, job)
	})
}

// askForEnded wakes the waiters of ended tasks, until nobody waits.
func (e *Engine) askForEnded() {
	pause := firstLook
	t := time.NewTimer(pause)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			pause = min(2*pause, lastLook)
		case <-e.watch.Changed():
			if pause > firstLook {
				pause = firstLook
				t.Reset(pause)
			}
			if !e.watch.Idle() {
				continue
			}
		case <-e.closing.Done():
			return
		}
		if e.watch.End() {
			return
		}
		var ended []int64
		err := e.steered(e.closing, e.sql.ended, []any{e.watch.Awaited()}, func(scan func(...any) error) error {
			var j int64
			err := scan(&j)
			ended = append(ended, j)
			return err
		})
		if err != nil {
			pause = lastLook // the server may be away
		}
		e.watch.Tell(ended...)
		t.Reset(pause)
	}
}
