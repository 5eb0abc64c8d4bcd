package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime"
)

// place is where a task is: its queue, and its id as asynq knows it.
type place struct{ queue, id string }

// reading is what the read script answers for one task.
type reading struct {
	place
	msg, state, details, memo, result, owner, started, score string
}

// readAll reads tasks with one round trip; nil stands for one that is not there.
func (e *Engine) readAll(ctx context.Context, ps []place) ([]*reading, error) {
	if len(ps) == 0 {
		return nil, nil
	}
	args := make([]any, 0, 2*len(ps))
	for _, p := range ps {
		args = append(args, p.queue, p.id)
	}
	rows, err := readScript.Run(ctx, e.db, nil, args...).Slice()
	if err != nil {
		return nil, err
	}
	rs := make([]*reading, len(ps))
	for i, row := range rows {
		v, ok := row.([]any)
		if !ok || len(v) < 8 || text(v[1]) == "" {
			continue
		}
		rs[i] = &reading{
			ps[i], text(v[0]), text(v[1]), text(v[2]), text(v[3]), text(v[4]), text(v[5]), text(v[6]), text(v[7]),
		}
	}
	return rs, nil
}

// find looks for a task in all queues.
func (e *Engine) find(ctx context.Context, id uuid.UUID) (*reading, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	queues, err := e.db.SMembers(ctx, allQueues).Result()
	if err != nil {
		return nil, e.failed("redis", err)
	}
	ps := make([]place, len(queues))
	for i, q := range queues {
		ps[i] = place{q, id.String()}
	}
	rs, err := e.readAll(ctx, ps)
	if err != nil {
		return nil, e.failed("redis", err)
	}
	for _, r := range rs {
		if r != nil {
			return r, nil
		}
	}
	return nil, runtime.ErrNotFound
}

// Get implements [runtime.Engine].
func (e *Engine) Get(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	r, err := e.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return e.entry(r), nil
}

// entry makes an entry of what was read of a task.
func (e *Engine) entry(r *reading) *runtime.Entry {
	own := decodeDetails(r.details)
	tm, err := decodeTaskMessage([]byte(r.msg))
	if err != nil {
		tm = &taskMessage{kind: "unreadable", id: r.id}
	}
	m, _ := tm.message(e.cfg.KeepFor)
	m.Queue, m.Meta.ID = r.queue, taskID(r.id)
	en := &runtime.Entry{
		ID: m.Meta.ID, Message: m, Attempt: int(tm.retried), Due: m.Due,
		StartedAt: own.StartedAt, EndedAt: own.EndedAt, Worker: own.Worker, Reason: own.Reason,
		Memo: raw(r.memo), Result: raw(r.result),
	}
	en.Due = later(later(m.Meta.EnqueuedAt, m.Due), own.Due)
	if at, err := strconv.ParseFloat(r.score, 64); err == nil {
		en.Due = fromScore(at)
	}
	en.State = own.state(r.state, en.Due)
	if r.state == asynqActive && r.owner != "" && r.started == "" { // a worker that does not know it looks at it
		en.State = runtime.StatePending
	}
	if us, err := strconv.ParseInt(r.started, 10, 64); err == nil && r.state == asynqActive {
		en.StartedAt, en.Worker = time.UnixMicro(us).UTC(), r.owner
	}
	if r.details == "" { // a plain asynq server has run it
		en.Reason = tm.errorMsg
		if tm.completedAt > 0 {
			en.EndedAt = time.Unix(tm.completedAt, 0).UTC()
		}
	}
	return en
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// state is ours of asynq's, of a task that is due at the given time.
func (d *details) state(asynq string, due time.Time) runtime.State {
	switch asynq {
	case asynqActive:
		return runtime.StateRunning
	case asynqScheduled:
		if due.After(time.Now()) {
			return runtime.StateScheduled
		}
		return runtime.StatePending
	case asynqRetry:
		if !d.ParkedAt.IsZero() && !d.Again {
			return runtime.StatePending // no worker has known it yet
		}
		return runtime.StateRetrying
	case asynqCompleted:
		return runtime.StateSucceeded
	case asynqArchived:
		if d.Cancelled {
			return runtime.StateCancelled
		}
		return runtime.StateFailed
	}
	if d.Again {
		return runtime.StateRetrying
	}
	return runtime.StatePending
}

// Cancel implements [runtime.Engine].
func (e *Engine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	was, err := cancelScript.Run(ctx, e.db, nil, p.queue, p.id, reason, now.Format(time.RFC3339Nano), score(now)).Text()
	switch {
	case err != nil:
		return e.failed("redis", err)
	case was == "":
		return runtime.ErrNotFound
	case was == asynqActive:
		e.workers.Check()
	default:
		e.watch.Tell(p.id)
	}
	return nil
}

// Retry implements [runtime.Engine].
func (e *Engine) Retry(ctx context.Context, id uuid.UUID) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	own := decodeDetails(p.details)
	own.Cancelled, own.Again, own.EndedAt, own.ParkedAt, own.Due = false, true, time.Time{}, time.Time{}, now.UTC()
	was, err := retryScript.Run(ctx, e.db, nil, p.queue, p.id, own.encode(), now.UnixNano()).Text()
	switch {
	case err != nil:
		return e.failed("redis", err)
	case was == "":
		return runtime.ErrNotFound
	case was != asynqArchived:
		return fmt.Errorf("%w: it is %s", runtime.ErrState, own.state(was, now))
	}
	e.workers.Nudge()
	return nil
}

// Delete implements [runtime.Engine].
func (e *Engine) Delete(ctx context.Context, id uuid.UUID) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	was, err := deleteScript.Run(ctx, e.db, nil, p.queue, p.id).Text()
	switch {
	case err != nil:
		return e.failed("redis", err)
	case was == "":
		return runtime.ErrNotFound
	case was == asynqActive:
		return runtime.ErrRunning
	}
	e.watch.Tell(p.id)
	return nil
}

// places returns where tasks of the states may be, the oldest first: version 7
// ids sort by time.
func (e *Engine) places(ctx context.Context, q runtime.Query) ([]place, error) {
	queues := []string{q.Queue}
	if q.Queue == "" {
		all, err := e.db.SMembers(ctx, allQueues).Result()
		if err != nil {
			return nil, err
		}
		queues = all
	}
	lists, sets := collections(q.States)
	var ps []place
	for _, queue := range queues {
		p := e.db.TxPipeline() // or else a task that moves meanwhile is missed
		for _, l := range lists {
			p.LRange(ctx, queueKey(queue, l), 0, -1)
		}
		for _, s := range sets {
			p.ZRange(ctx, queueKey(queue, s), 0, -1)
		}
		answers, err := p.Exec(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			for _, id := range a.(*redis.StringSliceCmd).Val() {
				ps = append(ps, place{queue, id})
			}
		}
	}
	slices.SortFunc(ps, place.compare)
	return slices.Compact(ps), nil
}

func (p place) compare(o place) int {
	return cmp.Or(strings.Compare(p.id, o.id), strings.Compare(p.queue, o.queue))
}

// collections are asynq's, in which tasks of the states are.
func collections(states []runtime.State) (lists, sets []string) {
	if len(states) == 0 {
		states = runtime.States()
	}
	for _, s := range states {
		switch s {
		case runtime.StateScheduled:
			sets = append(sets, asynqScheduled)
		case runtime.StatePending:
			lists = append(lists, asynqPending, asynqActive)
			sets = append(sets, asynqScheduled, asynqRetry) // due and not moved yet, parked, or looked at
		case runtime.StateRunning:
			lists = append(lists, asynqActive)
		case runtime.StateRetrying:
			lists = append(lists, asynqPending)
			sets = append(sets, asynqRetry)
		case runtime.StateSucceeded:
			sets = append(sets, asynqCompleted)
		case runtime.StateFailed, runtime.StateCancelled:
			sets = append(sets, asynqArchived)
		}
	}
	slices.Sort(lists)
	slices.Sort(sets)
	return slices.Compact(lists), slices.Compact(sets)
}

// cursorPrefix begins a cursor. The queue, escaped, and the id of the last task
// of the page follow: ids that asynq clients choose are unique in a queue only.
const cursorPrefix = "after:"

func (p place) cursor() string { return cursorPrefix + url.PathEscape(p.queue) + "/" + p.id }

func parseCursor(cursor string) (place, error) {
	rest, ok := strings.CutPrefix(cursor, cursorPrefix)
	escaped, id, found := strings.Cut(rest, "/")
	queue, err := url.PathUnescape(escaped)
	if !ok || !found || err != nil {
		return place{}, fmt.Errorf("cursor %q is not one that List returned", cursor)
	}
	return place{queue, id}, nil
}

// readAtOnce is how many tasks List reads with one round trip.
const readAtOnce = 200

// List implements [runtime.Engine]. It reads the ids of all tasks of the states
// asked for, and sorts them, for each page.
func (e *Engine) List(ctx context.Context, q runtime.Query) ([]*runtime.Entry, string, error) {
	if err := e.closed(); err != nil {
		return nil, "", err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	ps, err := e.places(ctx, q)
	if err != nil {
		return nil, "", e.failed("redis", err)
	}
	if q.Cursor != "" {
		last, err := parseCursor(q.Cursor)
		if err != nil {
			return nil, "", err
		}
		first, found := slices.BinarySearchFunc(ps, last, place.compare)
		if found {
			first++
		}
		ps = ps[first:]
	}
	entries := make([]*runtime.Entry, 0, min(limit, len(ps)))
	for len(ps) > 0 {
		n := min(readAtOnce, len(ps))
		read, err := e.readAll(ctx, ps[:n])
		if err != nil {
			return nil, "", e.failed("redis", err)
		}
		for i, r := range read {
			if r == nil {
				continue
			}
			en := e.entry(r)
			if !q.Matches(en) {
				continue
			}
			entries = append(entries, en)
			if len(entries) == limit && (i+1 < n || n < len(ps)) {
				return entries, ps[i].cursor(), nil
			}
		}
		ps = ps[n:]
	}
	return entries, "", nil
}

// Counts implements [runtime.Counter].
func (e *Engine) Counts(ctx context.Context) ([]runtime.Count, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	queues, err := e.db.SMembers(ctx, allQueues).Result()
	if err != nil {
		return nil, e.failed("count", err)
	}
	rows, err := countScript.Run(ctx, e.db, nil, append([]any{score(time.Now())}, anys(queues)...)...).Slice()
	if err != nil {
		return nil, e.failed("count", err)
	}
	var counts []runtime.Count
	for i, row := range rows {
		for j, v := range row.([]any) {
			n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
			if err == nil && n > 0 {
				counts = append(counts, runtime.Count{Queue: queues[i], State: runtime.States()[j], Tasks: n})
			}
		}
	}
	return counts, nil
}
