package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var waitTests = []test{
	{name: "EndsLater", run: testWaitLater},
	{name: "EndedBefore", run: testWaitBefore},
	{name: "EveryEnd", run: testWaitEveryEnd},
	{name: "ThroughRetries", run: testWaitRetries},
	{name: "CancelledWaiting", run: testWaitCancelled},
	{name: "NobodyKnowsIt", run: testWaitNobody},
	{name: "ContextEnds", run: testWaitContext},
	{name: "Unknown", run: testWaitUnknown},
	{name: "Deleted", run: testWaitDeleted},
	{name: "Many", run: testWaitMany},
}

// waited is the return of Wait.
type waited struct {
	en  *engine.Entry
	err error
}

func (w waited) String() string {
	if w.err != nil {
		return "the error " + w.err.Error()
	}
	return fmt.Sprintf("the entry of a task that is %s, with result %s and reason %q", w.en.State, shown(w.en.Result), w.en.Reason)
}

// waiter returns the engine's Waiter, or skips the test.
func (b *bench) waiter() engine.Waiter {
	b.Helper()
	w, ok := b.e.(engine.Waiter)
	if !ok {
		b.Skip("the engine is no Waiter")
	}
	return w
}

func (b *bench) wait(ctx context.Context, id uuid.UUID) <-chan waited {
	b.Helper()
	w := b.waiter()
	c := make(chan waited, 1)
	go func() {
		en, err := w.Wait(ctx, id)
		c <- waited{en, err}
	}()
	return c
}

// got returns the return of Wait.
func (b *bench) got(c <-chan waited) waited {
	b.Helper()
	select {
	case w := <-c:
		if w.en == nil && w.err == nil {
			b.Fatal("Wait returned neither an entry nor an error")
		}
		return w
	case <-time.After(b.o.Patience):
		b.Fatalf("Wait did not return for %v", b.o.Patience)
		return waited{}
	}
}

func testWaitLater(b *bench) {
	b.waiter()
	id := b.insert("task.wait")
	c := b.wait(b.ctx(), id)
	h := b.serve([]string{"task.wait"}).next()
	select {
	case w := <-c:
		b.Fatalf("Wait returned %v and %v while the task runs", w.en, w.err)
	default:
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`42`)})
	w := b.got(c)
	if w.err != nil || w.en.State != engine.StateSucceeded || !sameJSON(w.en.Result, json.RawMessage(`42`)) {
		b.Errorf("Wait returned %v, want the entry of the task that succeeded with 42", w)
	}
}

func testWaitBefore(b *bench) {
	b.waiter()
	id := b.insert("task.wait")
	b.serve([]string{"task.wait"}).next().succeed()
	b.until(id, engine.StateSucceeded)
	if w := b.got(b.wait(b.ctx(), id)); w.err != nil || w.en.ID != id {
		b.Errorf("Wait for a task that has ended returned %v, want its entry", w)
	}
}

func testWaitEveryEnd(b *bench) {
	b.waiter()
	s := b.serve([]string{"task.wait"})
	for kind, want := range map[engine.OutcomeKind]engine.State{
		engine.OutcomeFail: engine.StateFailed, engine.OutcomeCancel: engine.StateCancelled,
	} {
		id := b.insert("task.wait")
		c := b.wait(b.ctx(), id)
		s.next().conclude(engine.Outcome{Kind: kind, Reason: "why"})
		if w := b.got(c); w.err != nil || w.en.State != want || w.en.Reason != "why" {
			b.Errorf("Wait returned %v, want a task that is %s", w, want)
		}
	}
}

func testWaitRetries(b *bench) {
	b.waiter()
	id := b.insert("task.wait")
	c := b.wait(b.ctx(), id)
	s := b.serve([]string{"task.wait"})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeDelay})
	h := s.next()
	select {
	case w := <-c:
		b.Fatalf("Wait returned %v and %v before the task ended", w.en, w.err)
	default:
	}
	h.succeed()
	if w := b.got(c); w.err != nil || w.en.State != engine.StateSucceeded {
		b.Errorf("Wait returned %v, want the entry of the task that succeeded in its third run", w)
	}
}

func testWaitCancelled(b *bench) {
	b.waiter()
	id := b.insert("task.wait")
	c := b.wait(b.ctx(), id)
	b.cancel(b.e, id, "no")
	if w := b.got(c); w.err != nil || w.en.State != engine.StateCancelled || w.en.Reason != "no" {
		b.Errorf("Wait for a waiting task that was cancelled returned %v, want its entry, cancelled with reason \"no\"", w)
	}
}

// testWaitNobody: the engine ends the task without a run.
func testWaitNobody(b *bench) {
	b.waiter()
	id := b.insert("task.unknown")
	c := b.wait(b.ctx(), id)
	b.serve([]string{"task.known"}, parkFor(2*b.o.Step))
	if w := b.got(c); w.err != nil || w.en.State != engine.StateFailed {
		b.Errorf("Wait for a task that no worker knew returned %v, want one that failed", w)
	}
}

func testWaitContext(b *bench) {
	b.waiter()
	id := b.insert("task.wait")
	why := errors.New("the caller's cause")
	ctx, cancel := context.WithCancelCause(context.Background())
	c := b.wait(ctx, id)
	cancel(why)
	w := b.got(c)
	b.is("Wait whose context ended", w.err, why)
}

func testWaitUnknown(b *bench) {
	b.waiter()
	b.is("Wait for an unknown id", b.got(b.wait(b.ctx(), uuid.New())).err, engine.ErrNotFound)
}

func testWaitDeleted(b *bench) {
	b.waiter()
	id := b.insert("task.wait")
	c := b.wait(b.ctx(), id)
	if err := b.e.Delete(b.ctx(), id); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	b.is("Wait for a task that was deleted", b.got(c).err, engine.ErrNotFound)
}

func testWaitMany(b *bench) {
	b.waiter()
	var ids []uuid.UUID
	var cs []<-chan waited
	for range 30 {
		id := b.insert("task.wait")
		for range 2 {
			ids = append(ids, id)
			cs = append(cs, b.wait(b.ctx(), id))
		}
	}
	var running sync.WaitGroup
	running.Add(30)
	b.auto([]string{"task.wait"}, func(context.Context, *engine.Delivery) engine.Outcome {
		running.Done()
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	for i, c := range cs {
		if w := b.got(c); w.err != nil || w.en.ID != ids[i] {
			b.Errorf("Wait for %s returned %v, want its entry", ids[i], w)
		}
	}
	running.Wait()
}
