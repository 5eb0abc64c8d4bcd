package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Enqueuer is the place to enqueue tasks: an [App], the value of [App.Via], or
// a test's recorder.
type Enqueuer interface {
	enqueuer() *producer
}

// ErrPayloadTooLarge says that the arguments are over Config.MaxPayload, and
// nothing was enqueued; or that the result is, and the task has failed.
var ErrPayloadTooLarge = errors.New("payload is too large")

// producer makes messages of calls and inserts them.
type producer struct {
	app    *App
	to     engine.Inserter
	single engine.SingleInserter // to, if it is one
	around EnqueueHandler        // send with the app's middleware, nil if there are no hooks at all
}

func (p *producer) enqueuer() *producer { return p }

// errNoEnqueuer is the error of enqueueing on nil: [AppFrom] returns that
// where there is no task and no default app.
var errNoEnqueuer = errors.New("there is nothing to enqueue on: the app is nil")

// producerOf returns the producer behind an Enqueuer.
func producerOf(q Enqueuer) (*producer, error) {
	if q != nil {
		if p := q.enqueuer(); p != nil {
			return p, nil
		}
	}
	return nil, errNoEnqueuer
}

// Via returns an Enqueuer that prepares tasks as the app does, and inserts them
// by ins: a database transaction, or a test's recorder.
func (a *App) Via(ins engine.Inserter) Enqueuer {
	p := &producer{app: a, to: ins}
	p.single, _ = ins.(engine.SingleInserter)
	p.wrap()
	return p
}

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
	wire := s.derive()
	m.Name, m.Queue, m.Args, m.Priority, m.Keep = s.Name, wire.queue, c.Args(), s.Priority, p.app.cfg.Keep
	m.KeepFailed = p.app.cfg.KeepFailed
	if s.Keep > 0 {
		m.Keep = s.Keep
	}
	if s.KeepFailed > 0 {
		m.KeepFailed = s.KeepFailed
	}
	meta := &m.Meta
	meta.Version, meta.ID, meta.EnqueuedAt, meta.Signature = engine.WirePlain, newID(now), now, wire.signature
	if s.Durable {
		if meta.Version = engine.WireDurable; !p.app.journals {
			return fmt.Errorf("enqueue %s: %w", s.Name, errNoJournals)
		}
	}
	meta.Retries, meta.Tags, meta.Redact = s.Retries, s.Tags, wire.redact
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
	if s.limited() || m.Limits != nil {
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
	if r, _ := p.app.running.Load().(*service); r != nil && r.number != s.known.Load() {
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

// insertOne inserts one prepared message.
func (p *producer) insertOne(ctx context.Context, m *engine.Message) (in engine.Inserted, err error) {
	if p.single != nil {
		in, err = p.single.InsertOne(ctx, m)
	} else {
		var ins []engine.Inserted
		if ins, err = p.insert(ctx, []*engine.Message{m}); err == nil {
			in = ins[0]
		}
	}
	if err == nil {
		err = in.Err
	}
	if err != nil {
		return in, fmt.Errorf("enqueue %s: %w", m.Name, err)
	}
	if p.app.watched() {
		p.app.observe(Event{Kind: EventEnqueue, message: m, id: in.ID, existing: in.Existing})
	}
	return in, nil
}

// insert inserts messages as one batch.
func (p *producer) insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if p.to == nil {
		return nil, errNoEngine
	}
	ins, err := p.to.Insert(ctx, ms)
	if err == nil && len(ins) != len(ms) {
		err = fmt.Errorf("the engine answered for %d of %d tasks", len(ins), len(ms))
	}
	return ins, err
}

// structName matches the name of a struct before the hash of its shape.
var structName = regexp.MustCompile(`[\pL\pN_]+:`)

// unnamed returns a fingerprint without the names of structs, which are for
// people: a renamed struct reads the same JSON.
func unnamed(sig string) string { return structName.ReplaceAllString(sig, ":") }

// accepts reports, before anything is decoded, whether arguments enqueued with
// another signature can be read as the parameters of this one.
func (s *Definition) accepts(sig string) error {
	if sig == s.derive().signature || sig == "" { // empty: a foreign producer
		return nil
	}
	theirs := make(map[string]string)
	for field := range strings.FieldsSeq(sig) {
		name, typ, _ := strings.Cut(field, ":")
		theirs[name] = typ
	}
	for _, p := range s.Params {
		typ, ok := theirs[p.Name]
		delete(theirs, p.Name)
		switch {
		case !ok && !p.Optional:
			return park("the task was enqueued by another version, without parameter %q", p.Name)
		case ok && unnamed(typ) != unnamed(p.Sig):
			return park("the task was enqueued by another version, with parameter %q of type %s, here %s",
				p.Name, typ, p.Sig)
		}
	}
	for name := range theirs {
		return park("the task was enqueued by another version, with parameter %q that this one does not have", name)
	}
	return nil
}
