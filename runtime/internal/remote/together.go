package remote

import (
	"context"
	"slices"
	"sync"
)

const (
	maxAsking   = 4  // requests at a time: a long answer does not delay all others
	maxTogether = 64 // questions of one request
)

// Together asks what concurrent callers want to know in few requests: while some are
// under way questions wait, and then they go at once. A caller among few does not wait.
// There are no goroutines of its own: a caller asks for others, too.
type Together[Q, A any] struct {
	// Ask answers questions, in their order.
	Ask func(ctx context.Context, qs []Q) ([]A, error)

	mu      sync.Mutex // guards all below
	asking  int        // callers
	waiting []*question[Q, A]
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

// Do answers a question. When ctx has ended its error is the cause.
func (t *Together[Q, A]) Do(ctx context.Context, q Q) (A, error) {
	me := &question[Q, A]{q: q}
	t.mu.Lock()
	if t.asking < maxAsking {
		t.asking++
		t.mu.Unlock()
		return t.lead(ctx, []*question[Q, A]{me})
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
