package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// EnqueueHandler enqueues calls as one: all or none. It answers for each, in
// order, unless it returns an error.
type EnqueueHandler func(ctx context.Context, calls []AnyCall) ([]engine.Inserted, error)

// EnqueueMiddleware goes around every enqueueing: of one call, of a batch, and
// of a tick of [Every]. It may act before and after, refuse by an error,
// change the context that propagators get, and give calls further options with
// [AnyCall.With]. It passes on as many calls as it gets, in their order. A
// panic or Goexit is an error of the enqueueing.
type EnqueueMiddleware func(next EnqueueHandler) EnqueueHandler

// wrap puts the app's middleware around the producer. An app without hooks for
// the enqueueing needs none.
func (p *producer) wrap() {
	cfg := &p.app.cfg
	if len(cfg.EnqueueMiddleware) == 0 && len(cfg.Propagators) == 0 && cfg.Codec == nil {
		return
	}
	h := EnqueueHandler(p.send)
	for i := len(cfg.EnqueueMiddleware) - 1; i >= 0; i-- {
		m, next := cfg.EnqueueMiddleware[i], h
		if m == nil {
			continue // Start reports it
		}
		h = nil
		if err := guard.Isolated(func() error { h = m(next); return nil }); err != nil || h == nil {
			err = errors.Join(fmt.Errorf("Config.EnqueueMiddleware[%d] made no handler", i), err)
			h = func(context.Context, []AnyCall) ([]engine.Inserted, error) { return nil, err }
		}
	}
	p.around = h
}

// enqueue enqueues calls through the middleware, if there is any. Hooks run on a
// goroutine of their own, so that one that calls Goexit does not end the
// caller's.
func (p *producer) enqueue(ctx context.Context, calls []AnyCall) (ins []engine.Inserted, err error) {
	if p.around == nil {
		return p.send(ctx, calls)
	}
	err = guard.Isolated(func() (err error) {
		ins, err = p.around(ctx, calls)
		return err
	})
	if err == nil && len(ins) != len(calls) {
		err = fmt.Errorf("Config.EnqueueMiddleware answered for %d of %d calls", len(ins), len(calls))
	}
	if err != nil {
		return nil, err
	}
	return ins, nil
}

// send makes the messages of calls and inserts them.
func (p *producer) send(ctx context.Context, calls []AnyCall) ([]engine.Inserted, error) {
	all := make([]engine.Message, len(calls))
	if len(calls) == 1 {
		if err := p.prepare(ctx, &all[0], calls[0]); err != nil {
			return nil, err
		}
		in, err := p.insertOne(ctx, &all[0])
		if err != nil {
			return nil, err
		}
		return []engine.Inserted{in}, nil
	}
	ms := make([]*engine.Message, len(calls))
	var errs []error
	for i, c := range calls {
		ms[i] = &all[i]
		if err := p.prepare(ctx, ms[i], c); err != nil {
			errs = append(errs, fmt.Errorf("call %d: %w", i, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	ins, err := p.insert(ctx, ms)
	if err != nil {
		return nil, fmt.Errorf("enqueue %d tasks: %w", len(ms), err)
	}
	for i, in := range ins {
		if in.Err == nil && p.app.watched() {
			p.app.observe(event{Event: hook.Event{Kind: hook.EventEnqueue}, message: ms[i], id: in.ID, existing: in.Existing})
		}
	}
	return ins, nil
}

// enqueue enqueues one call.
func enqueue(ctx context.Context, q Enqueuer, c AnyCall) (*handle, error) {
	p, err := producerOf(q)
	if err != nil {
		return nil, fmt.Errorf("enqueue %s: %w", c.Name(), err)
	}
	if p.around != nil {
		ins, err := p.enqueue(ctx, []AnyCall{c})
		if err == nil {
			err = ins[0].Err
		}
		if err != nil {
			return nil, err
		}
		return &handle{id: ins[0].ID, existing: ins[0].Existing, app: p.app}, nil
	}
	e := new(struct { // one allocation for both
		h handle
		m engine.Message
	})
	if err := p.prepare(ctx, &e.m, c); err != nil {
		return nil, err
	}
	in, err := p.insertOne(ctx, &e.m)
	if err != nil {
		return nil, err
	}
	e.h = handle{id: in.ID, existing: in.Existing, app: p.app}
	return &e.h, nil
}

// Enqueuer is the place to enqueue tasks: an [App], the value of [App.Via], or
// a test's recorder.
type Enqueuer interface {
	enqueuer() *producer
}

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
