package life

import (
	"context"
	"sync"
	"time"
)

// Bounded is a context with a bound in time. It becomes one of package context,
// with a timer, only when something asks for its Done channel: an engine that
// answers at once never does.
type Bounded struct {
	parent   context.Context
	detached bool // the end of parent is not this context's
	at       time.Time

	mu     sync.Mutex // guards all below
	ended  bool
	std    context.Context // nil while there is none
	cancel context.CancelFunc
}

// Bound returns a context that ends with parent, after d or by End.
func Bound(parent context.Context, d time.Duration) *Bounded {
	return &Bounded{parent: parent, at: time.Now().Add(d)}
}

// Outlive is Bound without the end and the deadline of parent: its values remain.
func Outlive(parent context.Context, d time.Duration) *Bounded {
	return &Bounded{parent: parent, detached: true, at: time.Now().Add(d)}
}

// End ends the context. It must be called, and may be called again.
func (b *Bounded) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.std != nil {
		b.cancel()
	}
}

// standard returns the context of package context. The caller holds mu.
func (b *Bounded) standard() context.Context {
	if b.std == nil {
		parent := b.parent
		if b.detached {
			parent = context.WithoutCancel(parent)
		}
		b.std, b.cancel = context.WithDeadline(parent, b.at)
		if b.ended {
			b.cancel()
		}
	}
	return b.std
}

// Done implements context.Context.
func (b *Bounded) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.standard().Done()
}

// Err implements context.Context.
func (b *Bounded) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.std == nil && !b.ended && time.Now().Before(b.at) && (b.detached || b.parent.Err() == nil) {
		return nil
	}
	return b.standard().Err()
}

// Deadline implements context.Context.
func (b *Bounded) Deadline() (time.Time, bool) {
	if d, ok := b.parent.Deadline(); ok && !b.detached && d.Before(b.at) {
		return d, true
	}
	return b.at, true
}

// Value implements context.Context.
func (b *Bounded) Value(key any) any {
	b.mu.Lock()
	std := b.std
	b.mu.Unlock()
	switch {
	case std != nil:
		return std.Value(key)
	case b.detached: // context.Cause asks for the parent's end as for a value
		return context.WithoutCancel(b.parent).Value(key)
	}
	return b.parent.Value(key)
}
