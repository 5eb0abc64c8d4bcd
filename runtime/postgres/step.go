package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// wide is the number of outcomes, and of tasks to claim, from which on a step
// uses two connections at once: with fewer a second commit costs more than it
// saves.
const wide = 32

// Step implements [remote.Store]: one round trip and one commit, or two at once.
func (s *serve) Step(ctx context.Context, st *remote.Step[claim, struct{}]) (more bool, err error) {
	s.step.Lock()
	defer s.step.Unlock()
	defer func() {
		if err != nil && !ofOneRow(err) {
			s.unsure.Store(true)
		}
	}()
	want := st.Want
	queues := s.open(st.Queues)
	if slices.ContainsFunc(st.Outcomes, func(o *outcome) bool { return o.Doubted }) {
		want, more = 0, true
	}
	if len(queues) == 0 {
		want = 0
	}
	family, outcomes := s.familyOf(st.Outcomes)
	orphans := slices.DeleteFunc(st.Orphans, func(c claim) bool { return s.aside.has(c.job) })
	apart := s.claims.size != 0 // some row cannot be claimed
	f := &fetch{queues: queues, want: want}
	var journaled func() error
	if family != nil {
		family.quiet = !apart && len(family.limited) <= want
		defer func() {
			if family.quiet {
				s.tellLetIn(ctx, family, f)
			}
		}()
		if family.quiet && family.mayClaim() && len(outcomes)+len(orphans) == 0 {
			family.claim = f
		}
		var known bool
		if journaled, known = s.writeFamilies(ctx, family, want >= wide && len(st.Orphans) == 0); !known {
			f.pass = family.again
		}
	}
	written := make(map[claim]struct{}, len(outcomes))
	plain, rest := split(outcomes, orphans)
	writes := steered()
	s.queueSucceed(writes, plain, written)
	s.queueConclude(writes, rest, written)
	s.dead.below(released(outcomes, orphans))
	claims := writes
	if want >= wide && len(outcomes) >= wide && len(orphans) == 0 && !slices.ContainsFunc(outcomes, runsAgain) {
		claims = steered()
	}
	switch {
	case family != nil && family.claims:
	case !apart:
		*f = fetch{queues: queues, want: want, pass: f.pass}
		s.queueFetch(claims, f)
	}
	unwritten, unclaimed := s.send(ctx, writes, claims)
	unjournaled := error(nil)
	if journaled != nil {
		unjournaled = journaled()
		more = more || unjournaled != nil
	}
	if unclaimed == nil && !apart {
		some, err := s.fetched(ctx, f)
		more, unclaimed = some || more, err
	}
	switch {
	case unwritten == nil:
		s.settle(ctx, outcomes, written)
	case ofOneRow(unwritten):
		unwritten = s.writeSome(ctx, outcomes, orphans)
	default:
		s.PutBack(outcomes)
		return true, errors.Join(unjournaled, unwritten)
	}
	if unjournaled == nil && (apart || ofOneRow(unclaimed)) {
		some, err := s.fetchSome(ctx, queues, want)
		more, unclaimed = some || more, err
	}
	return more || unclaimed != nil, errors.Join(unjournaled, unwritten, unclaimed)
}

// runsAgain reports whether the outcome makes its job wait. Such a job must
// not be claimed in the same step: if the answer to the writing were lost, it would
// be written again, perhaps over a new run of the job with the same attempt.
func runsAgain(o *outcome) bool {
	switch o.Kind {
	case engine.OutcomeSucceed, engine.OutcomeFail, engine.OutcomeCancel:
		return false
	}
	return true
}

// send sends two batches at once, or one that is both, and returns the errors
// of each.
func (s *serve) send(ctx context.Context, writes, claims *pgx.Batch) (unwritten, unclaimed error) {
	if claims == writes {
		err := s.sendOne(ctx, writes)
		return err, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		unclaimed = s.sendOne(ctx, claims)
	}()
	unwritten = s.sendOne(ctx, writes)
	<-done
	return unwritten, unclaimed
}

func (s *serve) sendOne(ctx context.Context, b *pgx.Batch) error {
	if b.Len() == 1 { // only the steering statements
		return nil
	}
	return s.e.send(ctx, stepTimeout, b)
}

// stepTimeout bounds the requests of a step, which the worker's loop bounds too.
const stepTimeout = 10 * time.Second

// Release implements [remote.Store].
func (s *serve) Release(ctx context.Context, jobs []claim) error {
	_, rest := split(nil, jobs)
	b := steered()
	s.queueConclude(b, rest, make(map[claim]struct{}))
	b.Queue(s.e.sql.tell, s.e.sql.insertChannel, s.Queues)
	return s.e.send(ctx, stepTimeout, b)
}

// open returns the queues that are not paused.
func (s *serve) open(queues []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.paused) == 0 {
		return queues
	}
	return slices.DeleteFunc(slices.Clone(queues), func(q string) bool { return s.paused[engine.Pause{Queue: q}] })
}
