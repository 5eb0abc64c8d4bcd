package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// maxBatch is how many tasks one script stores at most: a Redis command has up
// to about a million arguments, and holds up all others.
const maxBatch = 100_000

// lot is messages to store together.
type lot struct {
	of   *Engine
	ids  []uuid.UUID
	args []any // of the insert script, perMessage for each
	// replacing are the messages that may replace one that holds their key, by their
	// places.
	replacing map[int]*engine.Message
}

// Arguments of the insert script for a message.
const (
	argQueue = iota
	argID
	argMessage
	argDue
	argKey
	argHolding
	argKeyFor
	argName
	argLimits
	perMessage
)

// Len implements [remote.Lot].
func (l *lot) Len() int { return len(l.ids) }

// Join implements [remote.Lot].
func (l *lot) Join(others []*lot) *lot {
	all := &lot{of: l.of, ids: slices.Clone(l.ids), args: slices.Clone(l.args), replacing: maps.Clone(l.replacing)}
	for _, o := range others {
		for i, m := range o.replacing {
			all.replace(all.Len()+i, m)
		}
		all.ids = append(all.ids, o.ids...)
		all.args = append(all.args, o.args...)
	}
	return all
}

// replace notes that the message of the place may replace another.
func (l *lot) replace(place int, m *engine.Message) {
	if l.replacing == nil {
		l.replacing = make(map[int]*engine.Message)
	}
	l.replacing[place] = m
}

// queues are those of the messages, in their order.
func (l *lot) queues() []string {
	qs := make([]string, l.Len())
	for i := range qs {
		qs[i] = l.args[perMessage*i+argQueue].(string)
	}
	return qs
}

func (e *Engine) newLot() *lot { return &lot{of: e} }

func (l *lot) add(m *engine.Message, now time.Time) error {
	own := *m // it is not ours to change
	if own.Meta.ID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		own.Meta.ID = id
	}
	own.Meta.ID = idIn(own.Queue, own.Meta.ID)
	tm, err := l.of.encodeMessage(&own)
	if err != nil {
		return err
	}
	var due any = ""
	if m.Due.After(now) {
		due = score(m.Due)
	}
	var value string
	var ms any = ""
	if m.Key != "" {
		value, ms = holding(m, tm.id, m.KeyFor)
	}
	limits, err := encodeLimits(m)
	if err != nil {
		return err
	}
	if m.Replace && m.KeyHold == engine.HoldWaiting {
		l.replace(l.Len(), m)
	}
	l.ids = append(l.ids, own.Meta.ID)
	l.args = append(l.args, m.Queue, tm.id, tm.encode(), due, m.Key, value, ms, m.Name, limits)
	return nil
}

// send runs the insert script. It answers for each message with the id of the
// task that holds its key, or "".
func (e *Engine) send(ctx context.Context, l *lot) (held []string, err error) {
	now := time.Now().UnixNano()
	if a := l.args; l.Len() == 1 && a[argDue] == "" && a[argKey] == "" && len(a[argLimits].([]byte)) == 0 {
		queue, id := a[argQueue].(string), a[argID].(string)
		keys := []string{e.taskKey(queue, id), e.queueKey(queue, asynqPending)}
		if e.tag != "" {
			err := e.runOn(ctx, insertOneTaggedScript, keys, a[argID], a[argMessage], now, a[argName], a[argQueue], e.newChannel).Err()
			return make([]string, 1), err
		}
		err := e.runOn(ctx, insertOneScript, keys, a[argID], a[argMessage], now, a[argName], a[argQueue]).Err()
		return make([]string, 1), err
	}
	args := make([]any, 0, 1+len(l.args))
	return e.run(ctx, insertScript, append(append(args, now), l.args...)...).StringSlice()
}

// Insert implements [engine.Engine]: all messages are stored, or none. More than
// 100,000 at a time are [engine.ErrUnsupported].
func (e *Engine) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	if len(ms) == 0 {
		return nil, nil
	}
	if len(ms) > maxBatch {
		return nil, fmt.Errorf("insert: a batch of %d tasks, over %d: %w", len(ms), maxBatch, engine.ErrUnsupported)
	}
	l := e.newLot()
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
	if l.Len() > remote.MaxGathered {
		beyond, cancel := remote.Beyond(ctx)
		defer cancel()
		ins, err := e.store(beyond, l)
		switch lost := errors.As(err, new(lostAnswer)); {
		case lost:
			err = &engine.UncertainError{IDs: l.ids, Err: err}
		case err != nil && ctx.Err() != nil:
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, e.failed("insert", err)
		}
		return ins, nil
	}
	ins, err := e.in.Insert(ctx, l)
	if err != nil {
		return nil, e.failed("insert", err)
	}
	return ins, nil
}

// store stores a lot with one script.
func (e *Engine) store(ctx context.Context, l *lot) ([]engine.Inserted, error) {
	if e.tag != "" {
		e.enlist(ctx, l.queues()...)
	}
	before := e.answersLost()
	held, err := e.send(ctx, l)
	if err != nil && conflict(err) {
		held, err = e.sentAgain(ctx, l, err)
	}
	switch {
	case err == nil:
	case conflict(err):
		return nil, err
	case e.lost(err, before):
		return nil, lostAnswer{err}
	case redis.HasErrorPrefix(err, "OOM"):
		return nil, fmt.Errorf("%w: %w", engine.ErrQueueFull, err)
	default:
		return nil, err
	}
	if len(held) != l.Len() {
		return nil, fmt.Errorf("the server answered for %d of %d tasks", len(held), l.Len())
	}
	ins := make([]engine.Inserted, l.Len())
	for i, id := range held {
		e.queues.use(l.args[perMessage*i+argQueue].(string))
		ins[i] = engine.Inserted{ID: l.ids[i]}
		if id != "" {
			ins[i] = engine.Inserted{ID: taskID(id), Existing: true}
			if m := l.replacing[i]; m != nil {
				if ins[i], err = e.replaced(ctx, m, ins[i]); err != nil {
					return nil, lostAnswer{err} // the others are stored
				}
			}
		}
	}
	e.workers.Nudge()
	return ins, nil
}

// conflict reports whether a task's id was taken, so that nothing was stored.
func conflict(err error) bool { return redis.HasErrorPrefix(err, "CONFLICT") }

// sentAgain answers for a script that found ids taken. The client sends a
// script again when its answer was lost. Then this lot itself took the ids:
// each of its tasks is there, or another holds its key. Otherwise sentAgain
// returns the error.
func (e *Engine) sentAgain(ctx context.Context, l *lot, conflict error) (held []string, err error) {
	p := e.db.Pipeline()
	for i := range l.ids {
		a := l.args[perMessage*i:]
		p.HGet(ctx, e.taskKey(a[argQueue].(string), a[argID].(string)), "msg")
		p.Get(ctx, e.ours+"key:"+a[argKey].(string))
	}
	answers, err := p.Exec(ctx)
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	held = make([]string, l.Len())
	for i := range l.ids {
		stored, holder := answers[2*i].(*redis.StringCmd).Val(), heldBy(answers[2*i+1].(*redis.StringCmd).Val())
		switch sent := l.args[perMessage*i+argMessage].([]byte); {
		case stored != "" && sameMessage([]byte(stored), sent):
		case stored == "" && holder != "":
			held[i] = holder
		default:
			return nil, conflict
		}
	}
	return held, nil
}

// sameMessage reports whether two messages are of one enqueue: the header has
// its time, and runs do not change it.
func sameMessage(a, b []byte) bool {
	x, err := decodeTaskMessage(a)
	if err != nil {
		return false
	}
	y, err := decodeTaskMessage(b)
	return err == nil && x.id == y.id && bytes.Equal(x.payload, y.payload) && bytes.Equal(x.header(), y.header())
}
