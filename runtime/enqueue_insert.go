package runtime

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
)

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
		p.app.observe(event{Event: hook.Event{Kind: hook.EventEnqueue}, message: m, id: in.ID, existing: in.Existing})
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
