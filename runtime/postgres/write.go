package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// settle reports outcomes that came too late, wakes the waiters of the others,
// and the upkeep when a task is due again.
func (s *serve) settle(ctx context.Context, outcomes []*outcome, written map[claim]struct{}) {
	var ended []int64
	for _, o := range outcomes {
		if _, ok := written[o.Of.Claim]; !ok && !(o.Doubted && s.wasWritten(ctx, o)) {
			s.Late(o)
			continue
		}
		switch o.Kind {
		case engine.OutcomeRetry, engine.OutcomeDelay:
			if o.After > 0 {
				s.Due(o.After)
				break
			}
			s.News()
		case engine.OutcomeRelease:
			s.News()
		case engine.OutcomeSuspend:
			if o.After > 0 {
				s.Due(o.After)
			}
		case engine.OutcomeFail, engine.OutcomeCancel:
			if ofFamily(o) { // its children may be to cancel
				s.Due(0)
			}
		}
		ended = append(ended, o.Of.Claim.job)
		delete(s.stuck, o.Of.Claim)
	}
	if len(ended) > 0 {
		s.wroteAt = time.Now()
	}
	s.e.watch.Tell(ended...)
}

// wasWritten reports whether an outcome that was sent before had been recorded
// then: the run no longer has its job, and nobody took that over. Since a step
// with such outcomes claims nothing, the job cannot run here again by now.
func (s *serve) wasWritten(ctx context.Context, o *outcome) bool {
	var lost bool
	err := s.e.row(ctx, s.e.sql.wasLost, []any{o.Of.Claim.job, o.Of.Claim.attempt, remote.ErrWorkerLost}, &lost)
	return err == nil && !lost
}

// ending is an outcome to write, or an orphan to give back.
type ending struct {
	outcome *outcome
	orphan  claim
}

// writeSome writes outcomes and gives orphans back after the server refused
// one of them. That one's task fails, if it can.
func (s *serve) writeSome(ctx context.Context, outcomes []*outcome, orphans []claim) error {
	all := make([]ending, 0, len(outcomes)+len(orphans))
	for _, o := range outcomes {
		all = append(all, ending{outcome: o})
	}
	for _, c := range orphans {
		all = append(all, ending{orphan: c})
	}
	done := make(map[claim]struct{}, len(outcomes))
	failed, err := halved([][]ending{all}, func(some []ending) error { return s.write(ctx, some, done) })
	if err != nil {
		var left []*outcome
		for _, o := range outcomes {
			if _, ok := done[o.Of.Claim]; !ok {
				left = append(left, o)
			}
		}
		s.PutBack(left)
		return err
	}
	for _, f := range failed {
		if f.row.outcome == nil {
			s.setAside(ctx, f.row.orphan.job, "give back a task", f.err)
		} else if ferr := s.refuse(ctx, f.row.outcome, f.err); ferr != nil {
			err = ferr
		}
	}
	return err
}

// write writes some of them. done are the outcomes that were dealt with.
func (s *serve) write(ctx context.Context, some []ending, done map[claim]struct{}) error {
	var outcomes []*outcome
	var orphans []claim
	for _, e := range some {
		if e.outcome != nil {
			outcomes = append(outcomes, e.outcome)
		} else {
			orphans = append(orphans, e.orphan)
		}
	}
	f, outcomes := s.familyOf(outcomes)
	if f != nil {
		written, err := s.writeFamily(ctx, f)
		if err != nil {
			return err
		}
		s.wrote(ctx, f.outcomes, written, done)
	}
	written := make(map[claim]struct{}, len(outcomes))
	plain, rest := split(outcomes, orphans)
	b := steered()
	s.queueSucceed(b, plain, written)
	s.queueConclude(b, rest, written)
	if err := s.sendOne(ctx, b); err != nil {
		return err
	}
	s.wrote(ctx, outcomes, written, done)
	return nil
}

func (s *serve) wrote(ctx context.Context, outcomes []*outcome, written, done map[claim]struct{}) {
	s.settle(ctx, outcomes, written)
	for _, o := range outcomes {
		done[o.Of.Claim] = struct{}{}
	}
}

// refuse ends a task as failed whose outcome the server refused, and gives it
// up if the server refuses that too. Unless the outcome itself is bad, it does
// so only while the server takes other changes: an error that concerns all
// rows passes.
func (s *serve) refuse(ctx context.Context, o *outcome, cause error) error {
	first, before := s.stuck[o.Of.Claim]
	if !badData(cause) && (!before || !s.wroteAt.After(first)) {
		if !before {
			s.stuck[o.Of.Claim] = time.Now()
		}
		s.putBack(o)
		return fmt.Errorf("write the outcome of job %d: %w", o.Of.Claim.job, cause)
	}
	delete(s.stuck, o.Of.Claim)
	o.Outcome = engine.Outcome{
		Kind: engine.OutcomeFail, Reason: clean(fmt.Sprintf("the outcome cannot be stored: %v", cause)),
	}
	err := s.write(ctx, []ending{{outcome: o}}, make(map[claim]struct{}))
	switch {
	case err == nil:
	case ofOneRow(err):
		s.setAside(ctx, o.Of.Claim.job, "write an outcome", err)
		s.Refuse(o)
	default:
		s.putBack(o)
		return err
	}
	return nil
}

// putBack keeps an unwritten outcome for another step.
func (s *serve) putBack(o *outcome) {
	doubted := o.Doubted
	s.PutBack([]*outcome{o})
	o.Doubted = doubted
}
