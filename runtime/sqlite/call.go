package sqlite

import (
	"context"
	"sync/atomic"
)

// claimable is the owner of an operation: its caller, who may give it up, or
// the writer.
type claimable struct{ state atomic.Int32 }

const (
	waiting   = iota
	taken     // by the writer
	withdrawn // by the caller
)

// take gives the operation to the writer. It returns false if the caller has
// given it up.
func (c *claimable) take() bool {
	return c.state.CompareAndSwap(waiting, taken) || c.state.Load() != withdrawn
}

// withdraw gives the operation up, unless the writer has it: nothing is written.
func (c *claimable) withdraw() bool { return c.state.CompareAndSwap(waiting, withdrawn) }

// untake gives the operation back to its caller: what it wrote was undone.
func (c *claimable) untake() { c.state.CompareAndSwap(taken, waiting) }

func (c *claimable) withdrawn() bool { return c.state.Load() == withdrawn }

// call is an operation that a caller waits for.
type call struct {
	claimable
	do    func(t *txn) error
	after func(t *txn) // once committed; may be nil
	done  chan error
}

func (c *call) apply(t *txn) error {
	if !c.take() {
		return nil
	}
	return c.do(t)
}

func (c *call) settle(t *txn, err error) {
	if c.withdrawn() {
		return
	}
	if err == nil && c.after != nil {
		c.after(t)
	}
	c.done <- err
}

// run hands do to the writer and waits until it is committed, or until ctx
// ends before the writer has begun. do returns an error of the caller's only
// before it wrote anything.
func (e *Engine) run(ctx context.Context, do func(t *txn) error, after func(t *txn)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c := &call{do: do, after: after, done: make(chan error, 1)}
	e.do(c)
	return c.wait(ctx, c.done)
}

// wait returns the result of an operation. When ctx ends before the writer has
// taken it, nothing is written.
func (c *claimable) wait(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if c.withdraw() {
			return context.Cause(ctx)
		}
		return <-done
	}
}

// notice is an operation that writes nothing: the writer goroutine runs it,
// even if the transaction fails.
type notice func()

func (n notice) apply(*txn) error { return nil }

func (n notice) settle(*txn, error) { n() }
