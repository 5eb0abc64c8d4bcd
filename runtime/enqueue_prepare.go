package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Prepare returns the message that enqueueing the call with ctx would insert,
// without inserting it.
func (a *App) Prepare(ctx context.Context, c Caller) (*engine.Message, error) {
	m := new(engine.Message)
	prepare := func() error { return a.producer.prepare(ctx, m, c.anyCall()) }
	if a.producer.around != nil {
		hooks := prepare
		prepare = func() error { return guard.Isolated(hooks) }
	}
	if err := prepare(); err != nil {
		return nil, err
	}
	return m, nil
}

// prepare fills the message of one call, which is empty.
func (p *producer) prepare(ctx context.Context, m *engine.Message, c AnyCall) error {
	s := c.def
	if s == nil {
		return errors.New("enqueue: the call is the zero value")
	}
	more := c.more()
	if more.err != nil {
		return fmt.Errorf("enqueue %s: %w", s.Name, more.err)
	}
	if ctx == nil {
		return fmt.Errorf("enqueue %s: the context is nil", s.Name)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("enqueue %s: %w", s.Name, context.Cause(ctx))
	}
	now := time.Now().Round(0).UTC()
	derived := s.Derive()
	m.Name, m.Queue, m.Args, m.Priority, m.Keep = s.Name, derived.Queue, c.Args(), priorityOf(s.Priority), p.app.cfg.Keep
	m.KeepFailed = p.app.cfg.KeepFailed
	if s.Keep > 0 {
		m.Keep = s.Keep
	}
	if s.KeepFailed > 0 {
		m.KeepFailed = s.KeepFailed
	}
	meta := &m.Meta
	meta.Version, meta.ID, meta.EnqueuedAt, meta.Signature = engine.WirePlain, newID(now), now, derived.Signature
	if s.Durable {
		if meta.Version = engine.WireDurable; !p.app.journals {
			return fmt.Errorf("enqueue %s: %w", s.Name, errNoJournals)
		}
	}
	meta.Retries, meta.Tags, meta.Redact = s.Retries, s.Tags, derived.Redact
	if r := current(ctx); r != nil {
		m.Meta.Parent, m.Meta.Root = r.id(), r.rootID()
	}
	if err := p.app.inject(ctx, m); err != nil {
		return fmt.Errorf("enqueue %s: %w", s.Name, err)
	}
	if len(more.opts) > 0 || s.Unique > 0 || s.UniqueHold != engine.HoldTime {
		if err := apply(m, more.opts, now, s.Unique, s.UniqueHold); err != nil {
			return fmt.Errorf("enqueue %s: %w", s.Name, err)
		}
		if r := current(ctx); r != nil && len(meta.Tags) > 0 { // they may hold secrets of the parent, which later readers do not know
			meta.Tags = r.redactor().Tags(meta.Tags)
		}
	}
	if limited(&s.Spec) || m.Limits != nil {
		if err := p.app.limit(m, s); err != nil {
			return fmt.Errorf("enqueue %s: %w", s.Name, err)
		}
	}
	if err := p.app.hashKey(m); err != nil {
		return fmt.Errorf("enqueue %s: %w", s.Name, err)
	}
	if err := p.app.encodeMessage(m); err != nil {
		return fmt.Errorf("enqueue %s: %w", s.Name, err)
	}
	if r, _ := p.app.running.Load().(*service); r != nil && r.number != s.Asked().Load() {
		p.app.lookFor(r, s, m.Queue)
	}
	return nil
}

// checkSize refuses payloads over Config.MaxPayload.
func (a *App) checkSize(payload json.RawMessage) error {
	if n := len(payload); n > a.cfg.MaxPayload {
		return fmt.Errorf("%w: %d bytes, the limit is %d (Config.MaxPayload)", ErrPayloadTooLarge, n, a.cfg.MaxPayload)
	}
	return nil
}
