package remote

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// ends are tasks, of which some have ended, and those who wait for them.
type ends struct {
	Waiters[string]
	heard int // how often Hear was called
	close func()

	mu     sync.Mutex
	states map[string]engine.State // guarded by mu
}

func (e *ends) set(task string, s engine.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.states[task] = s
}

func newEnds(look time.Duration) *ends {
	e := &ends{states: make(map[string]engine.State)}
	closing, end := context.WithCancel(context.Background())
	e.Closing, e.LookEvery = closing, look
	e.Hear = func() {
		e.heard++
		for {
			select {
			case <-e.Changed():
				if e.End() {
					return
				}
			case <-closing.Done():
				return
			}
		}
	}
	e.close = func() { e.Close(end) }
	return e
}

func (e *ends) wait(ctx context.Context, task string) chan error {
	result := make(chan error, 1)
	go func() {
		_, err := e.Wait(ctx, task, func(context.Context) (*engine.Entry, error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			return &engine.Entry{State: e.states[task]}, nil
		})
		result <- err
	}()
	synctest.Wait()
	return result
}

// TestWaiters_Tell: who waits is told of its own task, and the goroutine that
// hears of others ends when nobody waits.
func TestWaiters_Tell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(0)
		defer e.close()
		a, again, b := e.wait(t.Context(), "a"), e.wait(t.Context(), "a"), e.wait(t.Context(), "b")
		e.set("a", engine.StateSucceeded)
		e.Tell("a")
		synctest.Wait()
		if len(a) != 1 || len(again) != 1 || len(b) != 0 {
			t.Errorf("of a, a and b %d, %d and %d were told, want all but b", len(a), len(again), len(b))
		}
		e.set("b", engine.StateFailed)
		e.TellAll()
		if err := <-b; err != nil {
			t.Errorf("Wait: %v", err)
		}
		synctest.Wait()
		if e.Waiters.hearing {
			t.Error("nobody waits, and Hear still runs")
		}
		e.set("c", engine.StatePending)
		ctx, cancel := context.WithCancelCause(t.Context())
		c := e.wait(ctx, "c")
		cause := errors.New("enough")
		cancel(cause)
		if err := <-c; !errors.Is(err, cause) {
			t.Errorf("Wait with a context that ended: %v", err)
		}
		if e.heard != 2 {
			t.Errorf("Hear was called %d times, want once for each time that somebody waited", e.heard)
		}
	})
}

// TestWaiters_Look: an end that nobody tells of is found by looking.
func TestWaiters_Look(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(time.Second)
		defer e.close()
		a := e.wait(t.Context(), "a")
		e.set("a", engine.StateSucceeded)
		began := time.Now()
		if err := <-a; err != nil || time.Since(began) > time.Second {
			t.Errorf("Wait: %v, after %v", err, time.Since(began))
		}
	})
}

// TestWaiters_Close: who waits hears that the engine is closed, and so does who
// comes later.
func TestWaiters_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(0)
		a := e.wait(t.Context(), "a")
		e.close()
		if err := <-a; !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Wait when the engine is closed: %v", err)
		}
		if err := <-e.wait(t.Context(), "a"); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Wait after the engine was closed: %v", err)
		}
	})
}

// TestWaiters_GoOnOverALostConnection: an error that passes does not end a Wait,
// any other does.
func TestWaiters_GoOnOverALostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost, wrong := errors.New("connection lost"), errors.New("wrong")
		e := newEnds(0)
		defer e.close()
		e.Passing = func(err error) bool { return errors.Is(err, lost) }
		for _, last := range []error{nil, wrong} {
			asked := 0
			_, err := e.Wait(t.Context(), "a", func(context.Context) (*engine.Entry, error) {
				if asked++; asked < 5 {
					return nil, lost
				}
				return &engine.Entry{State: engine.StateSucceeded}, last
			})
			if !errors.Is(err, last) || asked != 5 {
				t.Errorf("Wait: %v after %d looks, want %v after 5", err, asked, last)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := e.Wait(ctx, "a", func(context.Context) (*engine.Entry, error) { return nil, lost })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait until its context ends: %v", err)
		}
	})
}
