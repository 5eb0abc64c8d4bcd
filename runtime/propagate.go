package runtime

import (
	"context"
	"fmt"
	"maps"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// inject collects the headers of a message.
func (a *App) inject(ctx context.Context, m *engine.Message) error {
	if len(a.cfg.Propagators) > 0 {
		if err := a.propagate(ctx, m); err != nil {
			return err
		}
	}
	return a.carryLocals(ctx, m)
}

func (a *App) propagate(ctx context.Context, m *engine.Message) error {
	headers := make(map[string]string)
	for _, p := range a.cfg.Propagators {
		if err := guard.Call(func() error { p.Inject(ctx, headers); return nil }); err != nil {
			return fmt.Errorf("propagator: %w", err)
		}
	}
	for k, v := range headers {
		if !storable(k) || !storable(v) {
			return fmt.Errorf("propagator: header %q must be valid UTF-8 without NUL bytes", k)
		}
	}
	if len(headers) > 0 {
		m.Meta.Headers = headers
	}
	return nil
}

// extract gives the run a parent context with the propagated values.
func (r *run) extract() {
	if len(r.app.cfg.Propagators) == 0 {
		return
	}
	headers := r.msg.Meta.Headers
	for _, p := range r.app.cfg.Propagators {
		if ctx := p.Extract(r.life.Parent, maps.Clone(headers)); ctx != nil {
			r.life.Mu.Lock() // Stop may be reading it
			r.life.Parent = ctx
			r.life.Mu.Unlock()
		}
	}
}
