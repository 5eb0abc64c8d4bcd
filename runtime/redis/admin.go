package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime"
)

// taskFields are what is read of a task's hash, in order.
var taskFields = []string{"msg", "state", "taskctx", "taskctx_memo", "result"}

// place is where a task is: its queue, and its id as asynq knows it.
type place struct{ queue, id string }

// find looks for a task in all queues.
func (e *Engine) find(ctx context.Context, id uuid.UUID) (place, []any, error) {
	if err := e.closed(); err != nil {
		return place{}, nil, err
	}
	queues, err := e.db.SMembers(ctx, allQueues).Result()
	if err != nil {
		return place{}, nil, e.failed("find task", err)
	}
	p := e.db.Pipeline()
	for _, q := range queues {
		p.HMGet(ctx, taskKey(q, id.String()), taskFields...)
	}
	answers, err := p.Exec(ctx)
	if err != nil {
		return place{}, nil, e.failed("find task", err)
	}
	for i, a := range answers {
		if v := a.(*redis.SliceCmd).Val(); v[0] != nil {
			return place{queues[i], id.String()}, v, nil
		}
	}
	return place{}, nil, runtime.ErrNotFound
}

// Get implements [runtime.Engine].
func (e *Engine) Get(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	p, v, err := e.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return e.entry(p, v), nil
}

// entry makes an entry of what was read of a task.
func (e *Engine) entry(p place, v []any) *runtime.Entry {
	own := decodeDetails(text(v[2]))
	tm, err := decodeTaskMessage([]byte(text(v[0])))
	if err != nil {
		tm = &taskMessage{kind: "unreadable", id: p.id}
	}
	m, _ := tm.message(e.cfg.KeepFor)
	m.Queue, m.Meta.ID = p.queue, taskID(p.id)
	en := &runtime.Entry{
		ID: m.Meta.ID, Message: m, State: own.state(text(v[1])), Attempt: int(tm.retried), Due: m.Due,
		StartedAt: own.StartedAt, EndedAt: own.EndedAt, Worker: own.Worker, Reason: own.Reason,
	}
	if own.Due.After(en.Due) {
		en.Due = own.Due
	}
	if en.Due.IsZero() {
		en.Due = m.Meta.EnqueuedAt
	}
	if memo := text(v[3]); memo != "" {
		en.Memo = []byte(memo)
	}
	if result := text(v[4]); result != "" {
		en.Result = []byte(result)
	}
	if tm.completedAt > 0 && en.EndedAt.IsZero() {
		en.EndedAt = time.Unix(tm.completedAt, 0).UTC()
	}
	if own.Reason == "" {
		en.Reason = tm.errorMsg
	}
	if en.State == runtime.StateSucceeded {
		en.Reason = own.Reason
	}
	return en
}

// state is ours of asynq's.
func (d *details) state(asynq string) runtime.State {
	switch asynq {
	case asynqActive:
		return runtime.StateRunning
	case asynqScheduled:
		return runtime.StateScheduled
	case asynqRetry:
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
	p, v, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	own := decodeDetails(text(v[2]))
	own.Reason, own.Cancelled, own.EndedAt = reason, true, now.UTC()
	was, err := cancelScript.Run(ctx, e.db, nil, p.queue, p.id, reason, own.encode(), score(now)).Text()
	switch {
	case err != nil:
		return e.failed("cancel", err)
	case was == "":
		return runtime.ErrNotFound
	case was == asynqActive:
		e.recheck()
	default:
		e.watch.tell(p.id)
	}
	return nil
}

// recheck makes this process's own workers look for cancelled tasks.
func (e *Engine) recheck() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.serves {
		signal(s.check)
	}
}

// Retry implements [runtime.Engine].
func (e *Engine) Retry(ctx context.Context, id uuid.UUID) error {
	p, v, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	own := decodeDetails(text(v[2]))
	own.Cancelled, own.Again, own.EndedAt, own.ParkedAt, own.Due = false, true, time.Time{}, time.Time{}, now.UTC()
	was, err := retryScript.Run(ctx, e.db, nil, p.queue, p.id, own.encode(), now.UnixNano()).Text()
	switch {
	case err != nil:
		return e.failed("retry", err)
	case was == "":
		return runtime.ErrNotFound
	case was != asynqArchived:
		return fmt.Errorf("%w: it is %s", runtime.ErrState, own.state(was))
	}
	e.nudge()
	return nil
}

// Delete implements [runtime.Engine].
func (e *Engine) Delete(ctx context.Context, id uuid.UUID) error {
	p, _, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	was, err := deleteScript.Run(ctx, e.db, nil, p.queue, p.id).Text()
	switch {
	case err != nil:
		return e.failed("delete", err)
	case was == "":
		return runtime.ErrNotFound
	case was == asynqActive:
		return runtime.ErrRunning
	}
	e.watch.tell(p.id)
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
		p := e.db.Pipeline()
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
	slices.SortFunc(ps, func(a, b place) int {
		if a.id != b.id {
			if a.id < b.id {
				return -1
			}
			return 1
		}
		return 0
	})
	return slices.Compact(ps), nil
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
			lists = append(lists, asynqPending)
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
		return nil, "", e.failed("list", err)
	}
	if q.Cursor != "" {
		first, found := slices.BinarySearchFunc(ps, q.Cursor, func(p place, id string) int {
			switch {
			case p.id < id:
				return -1
			case p.id > id:
				return 1
			}
			return 0
		})
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
			return nil, "", e.failed("list", err)
		}
		for i, en := range read {
			if en == nil || !q.Matches(en) {
				continue
			}
			entries = append(entries, en)
			if len(entries) == limit && (i+1 < n || n < len(ps)) {
				return entries, ps[i].id, nil
			}
		}
		ps = ps[n:]
	}
	return entries, "", nil
}

// readAll reads tasks; nil stands for one that is gone.
func (e *Engine) readAll(ctx context.Context, ps []place) ([]*runtime.Entry, error) {
	p := e.db.Pipeline()
	for _, at := range ps {
		p.HMGet(ctx, taskKey(at.queue, at.id), taskFields...)
	}
	answers, err := p.Exec(ctx)
	if err != nil {
		return nil, err
	}
	entries := make([]*runtime.Entry, len(ps))
	for i, a := range answers {
		if v := a.(*redis.SliceCmd).Val(); v[0] != nil {
			entries[i] = e.entry(ps[i], v)
		}
	}
	return entries, nil
}

// countScript answers with how many tasks are in each collection of the queues
// ARGV, and how many archived ones were cancelled, as far as it must look.
var countScript = script(`
local res = {}
for _, q in ipairs(ARGV) do
	local again, cancelled = 0, 0
	for _, id in ipairs(redis.call("LRANGE", k(q, "pending"), 0, -1)) do
		local own = redis.call("HGET", t(q, id), "taskctx")
		if own and string.find(own, '"again":true', 1, true) then again = again + 1 end
	end
	for _, id in ipairs(redis.call("ZRANGE", k(q, "archived"), 0, -1)) do
		local own = redis.call("HGET", t(q, id), "taskctx")
		if own and string.find(own, '"cancelled":true', 1, true) then cancelled = cancelled + 1 end
	end
	local pending, archived = redis.call("LLEN", k(q, "pending")), redis.call("ZCARD", k(q, "archived"))
	res[#res+1] = {redis.call("ZCARD", k(q, "scheduled")), pending - again, redis.call("LLEN", k(q, "active")),
		redis.call("ZCARD", k(q, "retry")) + again, redis.call("ZCARD", k(q, "completed")),
		archived - cancelled, cancelled}
end
return res`)

// Counts implements [runtime.Counter].
func (e *Engine) Counts(ctx context.Context) ([]runtime.Count, error) {
	queues, err := e.db.SMembers(ctx, allQueues).Result()
	if err != nil {
		return nil, e.failed("count", err)
	}
	rows, err := countScript.Run(ctx, e.db, nil, anys(queues)...).Slice()
	if err != nil && !errors.Is(err, redis.Nil) {
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
