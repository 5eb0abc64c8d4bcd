package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// wakeDue wakes suspended tasks whose time has come. Before, it looks for ends of
// their children that nobody wrote down. It returns how long until the next is
// due, negative if none is, and whether there are children to cancel.
func (s *serve) wakeDue(ctx context.Context) (next time.Duration, bereft bool, err error) {
	for {
		var due []int64
		var seconds float64
		if err := s.e.row(ctx, s.e.sql.journal.due, nil, &due, &seconds, &bereft); err != nil {
			return 0, false, err
		}
		if len(due) == 0 {
			if seconds < 0 {
				return -1, bereft, nil
			}
			return time.Duration(min(seconds, 3600) * float64(time.Second)), bereft, nil
		}
		if err := s.e.lookForEnds(ctx, due); err != nil {
			return 0, false, err
		}
		var woken []int64
		err := s.e.inTx(ctx, func(ctx context.Context, d db) error {
			woken = nil
			if err := d.query(ctx, s.e.sql.journal.lockHeads, []any{due}, nothing); err != nil {
				return err
			}
			return d.query(ctx, s.e.sql.journal.wake, []any{due, s.e.sql.insertChannel}, scanWoken(&woken))
		})
		if err != nil {
			return 0, false, err
		}
		s.dead.below(woken)
		s.NewsUnlessTold()
	}
}

// maxLooks is how many jobs are remembered that another program may have ended. Of
// others the look at all heads finds out.
const maxLooks = 10_000

// missedLot is how many that have ended while nobody listened are looked at.
const missedLot = 1000

// lookLater lets the upkeep look at a job that another program was told to cancel:
// one that waits has ended by that, and neither its parent nor its children know.
func (s *serve) lookLater(job int64) {
	s.mu.Lock()
	if len(s.looks) < maxLooks {
		s.looks = append(s.looks, job)
	}
	s.mu.Unlock()
	s.Due(0)
}

func (s *serve) lookNow(ctx context.Context) error {
	s.mu.Lock()
	jobs := s.looks
	s.looks = nil
	s.mu.Unlock()
	if len(jobs) == 0 {
		return nil
	}
	var ended []int64
	err := s.e.steered(ctx, s.e.sql.journal.endedFamily, []any{jobs}, scanIDs(&ended))
	if err == nil {
		err = s.e.arrive(ctx, ended...)
	}
	if err != nil {
		s.mu.Lock()
		s.looks = append(jobs, s.looks[:min(len(s.looks), maxLooks-len(jobs))]...)
		s.mu.Unlock()
	}
	return err
}

// lookForEnds writes down the ends of children that another program has ended or
// deleted.
func (e *Engine) lookForEnds(ctx context.Context, parents []int64) error {
	var ended []int64
	gone := make(map[int64][]int64)
	err := e.steered(ctx, e.sql.journal.unseen, []any{parents}, func(scan func(...any) error) error {
		var parent, child int64
		var missing bool
		err := scan(&parent, &child, &missing)
		if missing {
			gone[parent] = append(gone[parent], child)
		} else {
			ended = append(ended, child)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := e.arrive(ctx, ended...); err != nil {
		return err
	}
	for parent, children := range gone {
		if err := e.inTx(ctx, func(ctx context.Context, d db) error {
			if err := d.query(ctx, e.sql.journal.lockHeads, []any{[]int64{parent}}, nothing); err != nil {
				return err
			}
			return e.arriveGone(ctx, d, parent, children)
		}); err != nil {
			return err
		}
	}
	return nil
}

// arriveGone writes down that children are gone. The parent's head is locked.
func (e *Engine) arriveGone(ctx context.Context, d db, parent int64, children []int64) error {
	return d.query(ctx, e.sql.journal.arriveGone,
		[]any{children, e.sql.insertChannel, parent, engine.ReasonDeleted}, nothing)
}

const (
	// headsEvery is how often all heads of journals are looked at: for tasks that
	// wait for ever, and for those that another program has ended or deleted.
	headsEvery = time.Hour
	headsLot   = 500
	bereftLot  = 200
)

// newHeads returns the chore that looks at all heads, a lot at a time.
func (s *serve) newHeads() func(ctx context.Context) (bool, error) {
	after := int64(0)
	return func(ctx context.Context) (bool, error) {
		var gone, ended, waits []int64
		n := 0
		err := s.e.query(ctx, s.e.sql.journal.heads, []any{after, headsLot}, func(scan func(...any) error) error {
			var job int64
			var missing, untold, forEver bool
			err := scan(&job, &missing, &untold, &forEver)
			switch {
			case missing:
				gone = append(gone, job)
			case untold:
				ended = append(ended, job)
			case forEver:
				waits = append(waits, job)
			}
			after, n = job, n+1
			return err
		})
		if err != nil {
			return false, err
		}
		if n < headsLot {
			after = 0
		}
		if len(gone) > 0 {
			if _, err := s.e.exec(ctx, s.e.sql.journal.forget, gone); err != nil {
				return false, err
			}
		}
		if err := s.e.arrive(ctx, ended...); err != nil {
			return false, err
		}
		return n == headsLot, s.e.lookForEnds(ctx, waits)
	}
}

// cancelBereft cancels children of a task that has failed or was cancelled, a lot
// of them.
func (s *serve) cancelBereft(ctx context.Context) error {
	e := s.e
	var parent, after int64
	var mark string
	found := false
	err := e.query(ctx, e.sql.journal.bereft, nil, func(scan func(...any) error) error {
		found = true
		return scan(&parent, &mark, &after)
	})
	if err != nil || !found {
		return err
	}
	var children []int64
	err = e.steered(ctx, e.sql.journal.bereftChildren, []any{parent, after, bereftLot}, func(scan func(...any) error) error {
		var child int64
		err := scan(&after, &child)
		children = append(children, child)
		return err
	})
	if err != nil {
		return err
	}
	ended := engine.StateFailed
	if state, _, _ := strings.Cut(mark, " "); state == riverCancelled {
		ended = engine.StateCancelled
	}
	reason := engine.ParentEnded(e.taskID(parent), ended)
	if len(children) > 0 {
		if _, err := e.cancelDurable(ctx, children, reason, parent); err != nil {
			return err
		}
		e.watch.Look()
	}
	if len(children) < bereftLot {
		after = -1
	}
	_, err = e.exec(ctx, e.sql.journal.bereftAt, parent, after, mark)
	return err
}
