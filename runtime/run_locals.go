package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/locals"
)

// Ended reports whether the run is over.
func (r *run) Ended() bool { return r.life.Ended.Load() }

// Locals returns the run's own table, made when something first needs it.
func (r *run) Locals(create bool) *locals.Table {
	r = r.whole()
	header := r.msg.Meta.Headers[locals.Header]
	if !create && header == "" && r.extras() == nil {
		return nil
	}
	x := r.more()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.locals == nil && (create || header != "") {
		x.locals = locals.New(r, r.arrivals(header))
	}
	return x.locals
}

// arrivals reads the locals that traveled here with the task.
func (r *run) arrivals(header string) map[string]locals.Arrival {
	if header == "" {
		return nil
	}
	var m map[string]locals.Arrival
	if err := json.Unmarshal([]byte(header), &m); err != nil {
		r.app.log(slog.LevelError, "read the local values that came with the task",
			append(r.logAttrs(), slog.String("error", guard.Text(err)))...)
		return nil
	}
	return m
}

// carryLocals sends the locals of ctx along with a message.
func (a *App) carryLocals(ctx context.Context, m *engine.Message) error {
	if !locals.AnyTravels.Load() && m.Meta.Parent == uuid.Nil {
		return nil
	}
	t, _ := locals.ScopeOf(ctx, false)
	if t == nil {
		return nil // there are none to carry
	}
	header, err := t.Header()
	switch {
	case err != nil:
		return err
	case len(header) > a.cfg.MaxPayload:
		return fmt.Errorf("%w: the local values that travel are %d bytes, the limit is %d (Config.MaxPayload)",
			ErrPayloadTooLarge, len(header), a.cfg.MaxPayload)
	case header == "":
		return nil
	}
	if m.Meta.Headers == nil {
		m.Meta.Headers = make(map[string]string, 1)
	}
	m.Meta.Headers[locals.Header] = header
	return nil
}
