package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/runtime/engine"
)

// numbers is a lot of tasks whose ids are numbers.
type numbers []int

func (n numbers) Len() int { return len(n) }

func (n numbers) Join(others []numbers) numbers {
	return slices.Concat(append([]numbers{n}, others...)...)
}

func (n numbers) inserted() []engine.Inserted {
	ins := make([]engine.Inserted, len(n))
	for i, id := range n {
		ins[i].ID = uuid.UUID{15: byte(id)}
	}
	return ins
}

var errOwn = errors.New("one of them is bad")

// server stores lots, each when it is let, and refuses those with a 13.
type server struct {
	mu     sync.Mutex
	stored []numbers // guarded by mu
	let    chan struct{}
}

func (s *server) store(ctx context.Context, l numbers) ([]engine.Inserted, error) {
	s.mu.Lock()
	s.stored = append(s.stored, slices.Clone(l))
	s.mu.Unlock()
	select {
	case <-s.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if slices.Contains(l, 13) {
		return nil, errOwn
	}
	return l.inserted(), nil
}

func (s *server) lots() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.stored)
}

func newGatherer() (*server, *Gatherer[numbers], func()) {
	s := &server{let: make(chan struct{})}
	closing, end := context.WithCancel(context.Background())
	g := &Gatherer[numbers]{Store: s.store, Own: func(err error) bool { return errors.Is(err, errOwn) }, Closing: closing}
	return s, g, func() { g.Close(end) }
}

// callers call Insert at the same time, in order.
type callers struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	errs map[int]error // guarded by mu
}

func (c *callers) call(ctx context.Context, t *testing.T, g *Gatherer[numbers], l numbers) {
	c.wg.Go(func() {
		ins, err := g.Insert(ctx, l)
		if err == nil && !slices.Equal(ins, l.inserted()) {
			t.Errorf("Insert of %v answered %v", l, ins)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.errs == nil {
			c.errs = make(map[int]error)
		}
		c.errs[l[0]] = err
	})
	synctest.Wait()
}

// TestGatherer: a call that is alone is stored alone, those that come meanwhile
// together, and a bad one among them is heard of by its own caller only.
func TestGatherer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g, end := newGatherer()
		defer end()
		var c callers
		for _, l := range []numbers{{1}, {2, 3}, {13}, {4}} {
			c.call(t.Context(), t, g, l)
		}
		if got, want := s.lots(), "[[1]]"; got != want {
			t.Errorf("before the first is stored the server has %s, want %s", got, want)
		}
		close(s.let)
		c.wg.Wait()
		if got, want := s.lots(), "[[1] [2 3 13 4] [2 3] [13] [4]]"; got != want {
			t.Errorf("the server got %s, want %s", got, want)
		}
		for n, err := range c.errs {
			if errors.Is(err, errOwn) != (n == 13) || n != 13 && err != nil {
				t.Errorf("the call of %d got the error %v", n, err)
			}
		}
		c.call(t.Context(), t, g, numbers{5})
		c.wg.Wait()
		if err := c.errs[5]; err != nil {
			t.Errorf("a call after the others: %v", err)
		}
	})
}

// TestGatherer_AtMost: no more are stored together than may be.
func TestGatherer_AtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g, end := newGatherer()
		defer end()
		var c callers
		c.call(t.Context(), t, g, numbers{0})
		for n := 1; n <= 3; n++ {
			c.call(t.Context(), t, g, slices.Repeat(numbers{n}, 100))
		}
		close(s.let)
		c.wg.Wait()
		var sizes []int
		for _, l := range s.stored {
			sizes = append(sizes, len(l))
		}
		if want := []int{1, 200, 100}; !slices.Equal(sizes, want) {
			t.Errorf("lots of %v were stored, want %v", sizes, want)
		}
	})
}

// TestGatherer_GivesUp: a call that waits ends with its context, one that is stored
// soon after, alone or with others, who hear the answer.
func TestGatherer_GivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g, end := newGatherer()
		defer end()
		cause := errors.New("enough")
		var c callers
		alone, endAlone := context.WithCancelCause(t.Context())
		c.call(alone, t, g, numbers{1})
		waiting, endWaiting := context.WithCancelCause(t.Context())
		c.call(waiting, t, g, numbers{2})
		c.call(t.Context(), t, g, numbers{3})
		together, endTogether := context.WithCancelCause(t.Context())
		c.call(together, t, g, numbers{4})
		endWaiting(cause)
		synctest.Wait()
		endAlone(cause)
		time.Sleep(inDoubt)
		synctest.Wait()
		if got, want := s.lots(), "[[1] [3 4]]"; got != want {
			t.Errorf("the server got %s, want %s", got, want)
		}
		endTogether(cause)
		time.Sleep(inDoubt)
		synctest.Wait()
		close(s.let)
		c.wg.Wait()
		for n, err := range c.errs {
			if errors.Is(err, cause) != (n != 3) {
				t.Errorf("the call of %d got the error %v", n, err)
			}
		}
	})
}

// TestGatherer_StoresForThoseInDoubt: tasks that are being stored when the contexts of
// their callers end are stored all the same, and the callers hear of it.
func TestGatherer_StoresForThoseInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g, end := newGatherer()
		defer end()
		ctx, cancel := context.WithCancel(t.Context())
		var c callers
		for n := 1; n <= 3; n++ {
			c.call(ctx, t, g, numbers{n})
		}
		s.let <- struct{}{} // the first alone; the others begin together
		synctest.Wait()
		cancel()
		time.Sleep(inDoubt / 2)
		close(s.let)
		c.wg.Wait()
		assert.Equal(t, map[int]error{1: nil, 2: nil, 3: nil}, c.errs)
		assert.Equal(t, "[[1] [2 3]]", s.lots())
	})
}

// TestGatherer_TellsTheDeadline: a client of a server that looks at nothing but the
// deadline while it waits for an answer knows when the caller is gone.
func TestGatherer_TellsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g, end := newGatherer()
		defer end()
		g.Store = func(ctx context.Context, l numbers) ([]engine.Inserted, error) {
			deadline, ok := ctx.Deadline()
			if !ok {
				deadline = time.Now().Add(3 * time.Second)
			}
			time.Sleep(time.Until(deadline))
			return nil, context.DeadlineExceeded
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		at := time.Now()
		_, err := g.Insert(ctx, numbers{1})
		assert.ErrorAs(t, err, new(*engine.UncertainError))
		assert.Equal(t, time.Second+inDoubt, time.Since(at))
	})
}

// TestGatherer_Close: what is under way ends, what waits is stored no more, and
// nothing is afterwards.
func TestGatherer_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g, end := newGatherer()
		var c callers
		for n := 1; n <= 3; n++ {
			c.call(t.Context(), t, g, numbers{n})
		}
		end()
		c.wg.Wait()
		for n, err := range c.errs {
			if err == nil {
				t.Errorf("the call of %d succeeded, although the engine was closed", n)
			}
		}
		before := s.lots()
		if _, err := g.Insert(t.Context(), numbers{4}); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Insert after Close: %v", err)
		}
		if after := s.lots(); after != before {
			t.Errorf("the server got %s after Close", after)
		}
	})
}

// TestGatherer_LostAnswerIsUncertain: each of those that were stored together
// hears of its own tasks that it is not known whether they were stored.
func TestGatherer_LostAnswerIsUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("the answer was lost")
		s, g, end := newGatherer()
		defer end()
		g.Lost = func(err error) bool { return errors.Is(err, lost) }
		g.IDs = func(l numbers) (ids []uuid.UUID) {
			for _, in := range l.inserted() {
				ids = append(ids, in.ID)
			}
			return ids
		}
		g.Store = func(ctx context.Context, l numbers) ([]engine.Inserted, error) {
			if _, err := s.store(ctx, l); err != nil {
				return nil, err
			}
			return nil, lost
		}
		c := &callers{errs: make(map[int]error)}
		for n := range 3 {
			c.call(t.Context(), t, g, numbers{n + 1})
			synctest.Wait()
		}
		s.let <- struct{}{}
		s.let <- struct{}{}
		c.wg.Wait()
		for n, err := range c.errs {
			u, ok := errors.AsType[*engine.UncertainError](err)
			if !ok || !errors.Is(err, lost) || len(u.IDs) != 1 || u.IDs[0] != (uuid.UUID{15: byte(n)}) {
				t.Errorf("task %d: %v", n, err)
			}
		}
		if len(c.errs) != 3 {
			t.Errorf("%d of 3 calls have failed", len(c.errs))
		}
	})
}
