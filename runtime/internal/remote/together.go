package remote

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	maxAsking   = 4  // requests at a time: a long answer does not delay all others
	maxTogether = 64 // questions of one request
	// maxGather is how long a caller waits for others that are about to ask.
	maxGather = time.Millisecond
)

// Together asks what concurrent callers want to know in few requests: while some are
// under way questions wait, and then they go at once. A caller among few does not wait,
// unless others are expected. There are no goroutines of its own: a caller asks for
// others, too.
type Together[Q, A any] struct {
	// Ask answers questions, in their order.
	Ask func(ctx context.Context, qs []Q) ([]A, error)

	mu      sync.Mutex // guards all below
	asking  int        // callers
	waiting []*question[Q, A]
	// expected is how many callers are about to ask.
	expected int
	gather   chan struct{} // closed when none is, or a lot is full; nil unless a caller waits for them
}

// question is one that waits, or is asked by another caller.
type question[Q, A any] struct {
	q    Q
	turn chan struct{}     // closed when it is answered, or its caller is to ask
	lot  []*question[Q, A] // which the caller asks then: this one, and others

	// Guarded by Together.mu until turn is closed.
	gone     bool // its caller has given it up
	alone    bool // others that were asked with it have failed
	answered bool // a is the answer
	a        A
}

// Expect says that so many callers are about to ask: the first waits a moment for the
// others.
func (t *Together[Q, A]) Expect(callers int) {
	t.mu.Lock()
	t.expected += callers
	t.mu.Unlock()
}

// Do answers a question. When ctx has ended its error is the cause.
func (t *Together[Q, A]) Do(ctx context.Context, q Q) (A, error) {
	me := &question[Q, A]{q: q}
	t.mu.Lock()
	t.expected = max(t.expected-1, 0)
	if t.gather == nil && t.asking < maxAsking {
		t.asking++
		lot := t.gathered(ctx, me)
		t.mu.Unlock()
		return t.lead(ctx, lot)
	}
	if t.gather != nil && (t.expected == 0 || len(t.waiting)+2 >= maxTogether) {
		close(t.gather)
		t.gather = nil
	}
	me.turn = make(chan struct{})
	t.waiting = append(t.waiting, me)
	t.mu.Unlock()
	select {
	case <-me.turn:
	case <-ctx.Done():
		if t.giveUp(me) {
			return me.a, context.Cause(ctx)
		}
	}
	if me.answered {
		return me.a, nil
	}
	return t.lead(ctx, me.lot)
}

// gathered returns a caller's question with those of the callers that are expected, if
// they ask soon. The caller holds mu.
func (t *Together[Q, A]) gathered(ctx context.Context, me *question[Q, A]) []*question[Q, A] {
	if t.expected == 0 {
		return []*question[Q, A]{me}
	}
	gather := make(chan struct{})
	t.gather = gather
	t.mu.Unlock()
	late := time.NewTimer(maxGather)
	defer late.Stop()
	select {
	case <-gather:
	case <-late.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	if t.gather == gather { // the others do not ask yet
		t.gather, t.expected = nil, 0
	}
	me.turn = make(chan struct{})
	t.waiting = slices.Insert(t.waiting, 0, me)
	return t.take()
}

// giveUp gives a question up, unless its turn has come.
func (t *Together[Q, A]) giveUp(me *question[Q, A]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-me.turn:
		return false
	default:
	}
	me.gone = true
	t.waiting = slices.DeleteFunc(t.waiting, func(w *question[Q, A]) bool { return w == me })
	return true
}

// lead asks the questions of a lot, the first of which is the caller's, and lets the
// next caller ask. An error is only this caller's: the others' questions wait again.
func (t *Together[Q, A]) lead(ctx context.Context, all []*question[Q, A]) (a A, err error) {
	var as []A
	defer func() { t.pass(all[1:], as, ctx.Err() == nil) }() // also if Ask panics
	qs := make([]Q, len(all))
	for i, o := range all {
		qs[i] = o.q
	}
	as, err = t.Ask(ctx, qs)
	if err != nil && len(all) > 1 && ctx.Err() == nil { // one of them is at fault: which?
		var own []A
		if own, err = t.Ask(ctx, qs[:1]); err == nil {
			return own[0], nil
		}
	}
	if err != nil {
		return a, err
	}
	return as[0], nil
}

// pass hands out the answers to others' questions, which wait again if there are none,
// and lets the caller ask next whose question has waited for longest.
func (t *Together[Q, A]) pass(others []*question[Q, A], as []A, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	again := others[:0]
	for i, o := range others {
		switch {
		case o.gone:
		case as != nil:
			o.answered, o.a = true, as[1+i]
			close(o.turn)
		default:
			o.alone = failed
			again = append(again, o)
		}
	}
	t.waiting = append(again, t.waiting...)
	if len(t.waiting) == 0 {
		t.asking--
		return
	}
	next := t.waiting[0]
	next.lot = t.take()
	close(next.turn)
}

// take takes the question that has waited for longest, with others that wait. The
// caller holds mu.
func (t *Together[Q, A]) take() []*question[Q, A] {
	lot, first := []*question[Q, A](nil), t.waiting[0]
	t.waiting = slices.DeleteFunc(t.waiting, func(o *question[Q, A]) bool {
		taken := o == first || !first.alone && !o.alone && len(lot) < maxTogether
		if taken {
			lot = append(lot, o)
		}
		return taken
	})
	return lot
}
