package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// lot is messages to store together.
type lot struct {
	ids  []uuid.UUID
	args []any // of the insert script, seven for each message
}

func (l *lot) len() int { return len(l.ids) }

func (l *lot) join(o *lot) {
	l.ids = append(l.ids, o.ids...)
	l.args = append(l.args, o.args...)
}

func (l *lot) add(m *runtime.Message, now time.Time) error {
	if m.Meta.ID == uuid.Nil { // it is not ours to change
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		c := *m
		c.Meta.ID, m = id, &c
	}
	tm, err := encodeMessage(m)
	if err != nil {
		return err
	}
	var due any = ""
	if m.Due.After(now) {
		due = score(m.Due)
	}
	ms := int64(0)
	if m.Key != "" {
		ms = max(m.KeyFor.Milliseconds(), 1)
	}
	l.ids = append(l.ids, m.Meta.ID)
	l.args = append(l.args, m.Queue, tm.id, tm.encode(), due, m.Key, ms, m.Name)
	return nil
}

// Insert implements [runtime.Engine]: all messages are stored, or none.
func (e *Engine) Insert(ctx context.Context, ms []*runtime.Message) ([]runtime.Inserted, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	if len(ms) == 0 {
		return nil, nil
	}
	l := new(lot)
	now := time.Now()
	for _, m := range ms {
		if err := e.Check(m); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		if err := l.add(m, now); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if l.len() > maxGathered {
		ins, err := e.store(ctx, l)
		if err != nil {
			return nil, e.failed("insert", err)
		}
		return ins, nil
	}
	ins, err := e.in.insert(ctx, l)
	if err != nil {
		return nil, e.failed("insert", err)
	}
	return ins, nil
}

// store stores a lot with one script.
func (e *Engine) store(ctx context.Context, l *lot) ([]runtime.Inserted, error) {
	args := append([]any{time.Now().UnixNano()}, l.args...)
	held, err := insertScript.Run(ctx, e.db, nil, args...).StringSlice()
	if err != nil {
		return nil, err
	}
	if len(held) != l.len() {
		return nil, fmt.Errorf("the server answered for %d of %d tasks", len(held), l.len())
	}
	ins := make([]runtime.Inserted, l.len())
	for i, id := range held {
		ins[i] = runtime.Inserted{ID: l.ids[i]}
		if id != "" {
			ins[i] = runtime.Inserted{ID: taskID(id), Existing: true}
		}
	}
	e.nudge()
	return ins, nil
}

// nudge tells this process's own workers of new tasks, if nobody else can.
func (e *Engine) nudge() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.serves {
		if !s.listening.Load() {
			signal(s.news)
		}
	}
}
