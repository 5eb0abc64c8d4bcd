package tasktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// Playing is a durable task that a test takes from wait to wait. Its methods are
// for one goroutine.
type Playing[R any] struct {
	t     testing.TB
	ctx   context.Context
	app   *runtime.App
	stage *stage
	began time.Time
	sends []sending // in the order of time those that were not sent
}

// Begin enqueues a durable task that runs until it waits for something, or ends.
// [Playing.Waits] says for what, and its other methods bring that. Within a bubble
// of testing/synctest its rests and timeouts take no time. The task is given up
// when the test ends.
//
//	p := tasktest.Begin(t, press.RegisterTasks, press.PublishCall("moby"), tasktest.Answer(press.RenderCall(1), page, nil))
//	if got := p.Waits(); got != "signal approved" { ... }
//	tasktest.SendTo(p, press.Approved, press.Approval{By: "ann"})
//	url, err := p.End()
func Begin[R any](t testing.TB, register func(*runtime.App), call runtime.Call[R], opts ...Option) *Playing[R] {
	t.Helper()
	p := begin(t, newSettings(t, opts), register, call, 0)
	t.Cleanup(p.stop)
	return p
}

// App is the app that runs the task.
func (p *Playing[R]) App() *runtime.App { return p.app }

// ID is the task's id.
func (p *Playing[R]) ID() uuid.UUID { return p.stage.id }

// Waits runs the task until it waits, and returns the wait in words, as on its
// record: "signal approved", or "2 of 3 children: page/1, page/2". It is empty
// when the task has ended. It waits out retries.
func (p *Playing[R]) Waits() string {
	p.t.Helper()
	for {
		rec := p.settled()
		switch {
		case rec.State == engine.StateWaiting:
			return waitsFor(rec.Reason)
		case rec.State.Final():
			return ""
		}
		time.Sleep(time.Until(rec.Due))
		p.wake()
	}
}

// Journal returns the task's journal.
func (p *Playing[R]) Journal() []inspect.JournalRecord {
	p.t.Helper()
	js, err := p.app.Journal(p.ctx, p.stage.id)
	if err != nil {
		p.t.Fatalf("tasktest: %v", err)
	}
	return js
}

// SendTo sends a signal to the task, as [runtime.Signal.Send] does.
func SendTo[R, T any](p *Playing[R], signal *runtime.Signal[T], v T, opts ...runtime.SendOption) {
	p.t.Helper()
	if err := signal.Send(p.ctx, p.app, p.stage.id, v, opts...); err != nil {
		p.t.Fatalf("tasktest: %v", err)
	}
	p.wake()
}

// Pass lets time pass, and the task go on.
func (p *Playing[R]) Pass(d time.Duration) {
	p.t.Helper()
	time.Sleep(d)
	p.settled()
}

// End runs the task to its end, as [Play] does, with the signals of [Send].
func (p *Playing[R]) End() (R, error) {
	p.t.Helper()
	for {
		rec := p.settled()
		if rec.State.Final() {
			return p.ended(rec)
		}
		due := p.due()
		if due.IsZero() && len(p.sends) == 0 {
			var none R
			return none, fmt.Errorf("%w, for %s: with Send or Answer it does not", ErrStuck, waitsFor(rec.Reason))
		}
		p.next(due)
	}
}

// ended is how the task has ended.
func (p *Playing[R]) ended(rec *runtime.Record) (R, error) {
	p.stage.main.propagate(p.t)
	var none R
	if rec.State == engine.StateSucceeded {
		return runtime.HandleOf[R](p.app, rec.ID).Wait(p.ctx)
	}
	if err := p.stage.main.err; err != nil && !errors.Is(err, runtime.ErrSuspended) {
		return none, err
	}
	return none, &runtime.TaskError{ID: rec.ID, Name: rec.Name, State: rec.State, Reason: rec.Reason}
}

// due is when the next of all tasks is due, zero if none is.
func (p *Playing[R]) due() (first time.Time) {
	p.t.Helper()
	es, _, err := p.stage.List(p.ctx, engine.Query{Limit: 4096, Brief: true, States: []engine.State{
		engine.StateScheduled, engine.StateRetrying, engine.StateWaiting,
	}})
	if err != nil {
		p.t.Fatalf("tasktest: %v", err)
	}
	for _, e := range es {
		if !e.Due.IsZero() && (first.IsZero() || e.Due.Before(first)) {
			first = e.Due
		}
	}
	return first
}

// next waits until something is due, which a task is at a time that may be
// zero, and sends the signals due by then.
func (p *Playing[R]) next(due time.Time) {
	p.t.Helper()
	first := -1
	for i, s := range p.sends {
		if at := p.began.Add(s.after); due.IsZero() || !at.After(due) {
			due, first = at, i
		}
	}
	time.Sleep(time.Until(due))
	if first < 0 {
		p.wake()
		return
	}
	send := p.sends[first].send
	p.sends = append(p.sends[:first:first], p.sends[first+1:]...)
	if err := send(p.ctx, p.app, p.stage.id); err != nil && !errors.Is(err, engine.ErrState) {
		p.t.Fatalf("tasktest: %v", err)
	}
	p.wake()
}

// glance is how often a task that runs is looked at.
const glance = 20 * time.Microsecond

// wake waits until the task, which has been woken, may have begun to run.
func (p *Playing[R]) wake() { time.Sleep(glance) }

// settled waits until the task waits or has ended, and so do its children that can
// run.
func (p *Playing[R]) settled() *runtime.Record {
	p.t.Helper()
	for sleep := glance; ; sleep = min(2*sleep, time.Millisecond) {
		rec, err := p.app.Lookup(p.ctx, p.stage.id)
		if err != nil {
			p.t.Fatalf("tasktest: %v", err)
		}
		if rec.State.Final() || rec.State == engine.StateWaiting && !p.busy() {
			return rec
		}
		if rec.State == engine.StateRetrying && rec.Due.After(time.Now()) && !p.busy() {
			return rec
		}
		time.Sleep(sleep)
	}
}

// busy reports whether a task runs or is about to.
func (p *Playing[R]) busy() bool {
	p.t.Helper()
	es, _, err := p.stage.List(p.ctx, engine.Query{States: []engine.State{engine.StatePending, engine.StateRunning}, Limit: 1})
	if err != nil {
		p.t.Fatalf("tasktest: %v", err)
	}
	return len(es) > 0
}

// stop gives up the running tasks.
func (p *Playing[R]) stop() {
	_ = p.app.Stop(context.Background())
	_ = p.stage.Close()
}
