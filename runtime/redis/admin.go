package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// place is the place of a task: its queue, and its id in asynq.
type place struct{ queue, id string }

// reading is the read script's answer about one task.
type reading struct {
	place
	at                                                       int // its index among the places asked for
	msg, state, details, memo, result, owner, started, score string
	limited, due                                             string // the rule that a task with limits waits for, and when it was due
}

// selection says which tasks the read script returns, and how much of them.
type selection struct {
	brief  bool // without the large fields
	bytes  int  // how many to read, at most
	name   string
	tagged bool   // only tasks with tags
	states string // between commas; empty for all
}

// maxBytes is how many bytes of messages, memos and results one call reads,
// apart from the last task.
const maxBytes = 4 << 20

// read reads tasks with one round trip, and returns how many it has looked at:
// fewer than all when they are large. It subtracts the bytes read from
// sel.bytes.
func (e *Engine) read(ctx context.Context, ps []place, sel *selection) (looked int, rs []*reading, err error) {
	if len(ps) == 0 {
		return 0, nil, nil
	}
	args := make([]any, 0, 5+2*len(ps))
	args = append(args, flag(sel.brief), sel.bytes, sel.name, flag(sel.tagged), sel.states)
	for _, p := range ps {
		args = append(args, p.queue, p.id)
	}
	answer, err := e.run(ctx, readScript, args...).Slice()
	if err != nil {
		return 0, nil, err
	}
	if len(answer) < 3 {
		return 0, nil, errAnswer
	}
	n, _ := answer[0].(int64)
	left, _ := answer[2].(int64)
	sel.bytes = int(left)
	rows, _ := answer[1].([]any)
	for _, row := range rows {
		v, _ := row.([]any)
		if len(v) < 11 {
			return 0, nil, errAnswer
		}
		at, _ := v[0].(int64)
		if at < 1 || int(at) > len(ps) {
			return 0, nil, errAnswer
		}
		rs = append(rs, &reading{
			ps[at-1], int(at) - 1, text(v[1]), text(v[2]), text(v[3]), text(v[4]), text(v[5]), text(v[6]), text(v[7]), text(v[8]),
			text(v[9]), text(v[10]),
		})
	}
	return int(n), rs, nil
}

var errAnswer = errors.New("the server's answer is not of this engine's script")

func flag(b bool) string {
	if b {
		return "1"
	}
	return ""
}

// Get implements [engine.Engine].
func (e *Engine) Get(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	r, err := e.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return e.entry(r), nil
}

// entry makes an entry of a reading.
func (e *Engine) entry(r *reading) *engine.Entry {
	own := decodeDetails(r.details)
	tm, err := decodeTaskMessage([]byte(r.msg))
	if err != nil {
		tm = &taskMessage{kind: "unreadable", id: r.id}
	}
	m, _ := tm.message(e.cfg.KeepFor)
	m.Queue, m.Meta.ID, m.Args = r.queue, taskID(r.id), raw(string(m.Args))
	en := &engine.Entry{
		ID: m.Meta.ID, Message: m, Attempt: max(int(tm.retried), 0), Due: m.Due,
		StartedAt: own.StartedAt, EndedAt: own.EndedAt, Worker: own.Worker, Reason: own.Reason,
		Memo: raw(r.memo), Result: raw(r.result), Beside: tm.beside,
	}
	if err != nil {
		en.Reason = cmp.Or(en.Reason, err.Error())
	}
	if en.Due = own.Due; own.Due.IsZero() {
		en.Due = later(m.Meta.EnqueuedAt, m.Due)
	}
	if at, err := strconv.ParseFloat(r.score, 64); err == nil {
		if en.Due = fromScore(at); own.Waits && at >= forever {
			en.Due = time.Time{}
		}
	}
	en.State = own.state(r.state, en.Due)
	if us, err := strconv.ParseInt(r.due, 10, 64); err == nil && r.state == asynqScheduled {
		en.Due, en.State = fromScore(float64(us)/1e6), own.state(asynqPending, en.Due)
	}
	if r.state == asynqActive && r.owner != "" && r.started == "" { // a worker that does not know it looks at it
		en.State = engine.StatePending
	}
	if us, err := strconv.ParseInt(r.started, 10, 64); err == nil && r.state == asynqActive {
		en.StartedAt, en.Worker = fromScore(float64(us)/1e6), r.owner
	}
	if r.details == "" { // a plain asynq server has run it
		en.Reason = tm.errorMsg
		if tm.completedAt > 0 {
			en.EndedAt = fromScore(float64(tm.completedAt))
		}
	}
	if r.limited != "" && r.state == asynqScheduled {
		en.Reason = "waits for " + r.limited
	}
	return en
}

// raw returns stored JSON. It shows text of others that is not JSON as a
// string.
func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	if !json.Valid([]byte(s)) {
		b, _ := json.Marshal(strings.ToValidUTF8(s, "\ufffd"))
		return b
	}
	return json.RawMessage(s)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// state returns our state for asynq's, of a task that is due at the given
// time.
func (d *details) state(asynq string, due time.Time) engine.State {
	switch asynq {
	case asynqActive:
		return engine.StateRunning
	case asynqScheduled:
		if d.Waits {
			return engine.StateWaiting
		}
		if due.After(time.Now()) {
			return engine.StateScheduled
		}
		return engine.StatePending
	case asynqRetry:
		if !d.ParkedAt.IsZero() && !d.Again {
			return engine.StatePending // no worker has known it yet
		}
		return engine.StateRetrying
	case asynqCompleted:
		return engine.StateSucceeded
	case asynqArchived:
		if d.Cancelled {
			return engine.StateCancelled
		}
		return engine.StateFailed
	}
	if d.Again {
		return engine.StateRetrying
	}
	return engine.StatePending
}

// Cancel implements [engine.Engine].
func (e *Engine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	was, err := e.run(ctx, cancelScript, e.cancelArgs(p, reason, e.servers(ctx, time.Now()))...).Text()
	switch {
	case err != nil:
		return e.failed("redis", err)
	case was == "":
		return engine.ErrNotFound
	case was == asynqActive:
		e.workers.Check()
	default:
		e.watch.Tell(p.id)
	}
	return nil
}

// cancelArgs are the arguments of the cancel script for a task; servers is what servers
// answers.
func (e *Engine) cancelArgs(p *reading, reason string, servers any) []any {
	now, m := time.Now().UTC(), e.entry(p).Message
	return []any{
		p.queue, p.id, reason, now.Format(time.RFC3339Nano), servers, e.archivedUntil(m, now), freeable(m), now.UnixNano(),
	}
}

// Retry implements [engine.Engine].
func (e *Engine) Retry(ctx context.Context, id uuid.UUID) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	own := decodeDetails(p.details)
	key, hold, ms := heldAgain(e.entry(p).Message, p, !own.StartedAt.IsZero(), now)
	own.Cancelled, own.Again, own.Waits, own.EndedAt, own.ParkedAt, own.Due = false, true, false, time.Time{}, time.Time{}, now.UTC()
	answer, err := e.run(ctx, retryScript, p.queue, p.id, own.encode(), now.UnixNano(), key, hold, ms).StringSlice()
	switch {
	case err != nil:
		return e.failed("redis", err)
	case len(answer) < 2:
		return e.failed("redis", errAnswer)
	case answer[0] == "":
		return engine.ErrNotFound
	case answer[0] != asynqArchived:
		return fmt.Errorf("%w: it is %s", engine.ErrState, own.state(answer[0], now))
	case answer[1] != "":
		return fmt.Errorf("%w: task %s holds its key", engine.ErrState, answer[1])
	}
	e.workers.Nudge()
	return nil
}

// Delete implements [engine.Engine].
func (e *Engine) Delete(ctx context.Context, id uuid.UUID) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	was, err := e.run(ctx, deleteScript, p.queue, p.id, e.servers(ctx, now), freeable(e.entry(p).Message), now.UnixNano()).Text()
	switch {
	case err != nil:
		return e.failed("redis", err)
	case was == "":
		return engine.ErrNotFound
	case was == asynqActive:
		return engine.ErrRunning
	}
	e.watch.Tell(p.id)
	return nil
}

// countAtOnce is for how many queues one script counts the tasks.
const countAtOnce = 500

// countedStates are the states that countScript counts, in its order.
var countedStates = []engine.State{
	engine.StateScheduled, engine.StatePending, engine.StateRunning, engine.StateRetrying, engine.StateWaiting,
	engine.StateSucceeded, engine.StateFailed, engine.StateCancelled,
}

// Counts implements [engine.Counter].
func (e *Engine) Counts(ctx context.Context) ([]engine.Count, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	queues, err := e.allQueues(ctx)
	if err != nil {
		return nil, e.failed("count", err)
	}
	var counts []engine.Count
	for chunk := range slices.Chunk(queues, countAtOnce) {
		rows, err := e.run(ctx, countScript, append([]any{score(time.Now())}, anys(chunk)...)...).Slice()
		if err == nil && len(rows) != len(chunk) {
			err = errAnswer
		}
		if err != nil {
			return nil, e.failed("count", err)
		}
		for i, row := range rows {
			counts = appendCounts(counts, chunk[i], text(row))
		}
	}
	return counts, nil
}

// appendCounts adds what countScript says of a queue.
func appendCounts(counts []engine.Count, queue, numbers string) []engine.Count {
	oldest := strings.Fields(numbers)
	if len(oldest) < len(countedStates) {
		return counts
	}
	of := oldest[:len(countedStates)]
	for j, s := range of {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n <= 0 {
			continue
		}
		c := engine.Count{Queue: queue, State: countedStates[j], Tasks: n}
		if c.State == engine.StatePending {
			c.Oldest = oldestOf(oldest[len(of):])
		}
		counts = append(counts, c)
	}
	return counts
}
