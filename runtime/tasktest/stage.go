package tasktest

import (
	"context"
	"fmt"
	goruntime "runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// stage is the engine on which a durable task is played: it runs that task, and
// answers for its children.
type stage struct {
	*memory.Engine
	t        testing.TB
	children bool       // without an answer, they run
	answers  *ledger    // the ends of children
	dieAfter int        // the record after which the run dies, from 1; 0: none
	main     *outermost // of the task
	id       uuid.UUID  // of the task; set before it can run

	mu      sync.Mutex // guards all below
	records []string   // the name of the first entry of each record
	died    bool       // in the run that is under way
}

// Serve implements [engine.Engine].
func (s *stage) Serve(ctx context.Context, w *engine.Worker) error {
	own := *w
	s.answers.mu.Lock()
	for _, a := range s.answers.answers {
		own.Names = append(slices.Clip(own.Names), a.want.full.Name)
	}
	s.answers.mu.Unlock()
	slices.Sort(own.Names)
	own.Names = slices.Compact(own.Names)
	own.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
		if d.Message.Meta.ID == s.id {
			s.play(ctx, w, d, o)
			return
		}
		if !s.answer(d.Message, o) {
			w.RunInline(ctx, d, o)
		}
	}
	return s.Engine.Serve(ctx, &own)
}

// play runs the task itself.
func (s *stage) play(ctx context.Context, w *engine.Worker, d *engine.Delivery, o *engine.Outcome) {
	s.mu.Lock()
	s.died = false
	s.mu.Unlock()
	if j, ok := d.Memo.(engine.Journal); ok {
		d.Memo = mortal{d.Memo, j, s}
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.died { // as of a worker that is gone: no attempt is used, lest the task fail for it
			*o = engine.Outcome{Kind: engine.OutcomeRelease}
		}
	}()
	w.RunInline(ctx, d, o)
}

// answer sets the end of a child. It returns false for a child that is to run.
func (s *stage) answer(m *engine.Message, o *engine.Outcome) bool {
	en := &engine.Entry{Message: m}
	s.answers.mu.Lock()
	s.answers.answer(en)
	s.answers.mu.Unlock()
	switch en.State {
	case engine.StateSucceeded:
		*o = engine.Outcome{Kind: engine.OutcomeSucceed, Result: en.Result}
	case engine.StateFailed:
		*o = engine.Outcome{Kind: engine.OutcomeFail, Reason: en.Reason}
	case engine.StateCancelled:
		*o = engine.Outcome{Kind: engine.OutcomeCancel, Reason: en.Reason}
	default:
		if s.children {
			return false
		}
		text := fmt.Sprintf("tasktest: nothing says what becomes of %s: give an Answer to it, or RunChildren",
			describe(Enqueued{Message: m}))
		s.t.Error(text)
		*o = engine.Outcome{Kind: engine.OutcomeFail, Reason: text}
	}
	return true
}

// mortal is the journal of a run that dies.
type mortal struct {
	engine.Memo
	engine.Journal
	s *stage
}

// Record implements [engine.Journal].
func (m mortal) Record(ctx context.Context, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	s := m.s
	s.mu.Lock()
	died := s.died
	s.mu.Unlock()
	if died { // a branch that has not noticed
		goruntime.Goexit()
	}
	out, err := m.Journal.Record(ctx, entries)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.records = append(s.records, entries[0].Name)
	dies := len(s.records) == s.dieAfter
	s.died = dies
	s.mu.Unlock()
	if dies {
		goruntime.Goexit()
	}
	return out, nil
}

// recorded returns the name of the first entry of each record.
func (s *stage) recorded() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}
