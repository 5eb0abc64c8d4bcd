package redis

import (
	"context"
	"errors"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// replaceScript gives a task that has never begun the content of another message, as
// long as its own is the one that the caller has read. ARGV: the queue and id, the
// message as read, what leave gets, the time in ns, the new message, its due score or "",
// its name and its limits. It answers with 1 if it has, 0 if the message was another,
// and 2 if the task has begun or is gone.
var replaceScript = script(journalPrelude + waitingPrelude + `
local q, id = ARGV[1], ARGV[2]
local v = soft("HMGET", t(q, id), "state", "msg", "taskctx", "taskctx_limits")
local state = v and v[1]
if state ~= "pending" and state ~= "scheduled" and state ~= "retry" or has(v[3], '"started":') then return 2 end
if v[2] ~= ARGV[3] then return 0 end
quit(q, id, limitsOf(v[4]), true)
leave(q, id, state, ARGV[4])
redis.call("HDEL", t(q, id), "pending_since", "taskctx", "taskctx_parked", "taskctx_memo", "taskctx_limits", "taskctx_due")
if ARGV[9] ~= "" and new(q, id, ARGV[6], ARGV[7], ARGV[8], ARGV[9]) then -- it is ready, aside or scheduled
elseif ARGV[7] ~= "" then
	redis.call("HSET", t(q, id), "msg", ARGV[6], "state", "scheduled", "taskctx_name", ARGV[8])
	firm("ZADD", k(q, "scheduled"), ARGV[7], id)
else
	redis.call("HSET", t(q, id), "msg", ARGV[6], "state", "pending", "pending_since", ARGV[5], "taskctx_name", ARGV[8])
	soft("SREM", k(q, "taskctx:gone"), id)
	firm("LPUSH", k(q, "pending"), id)
end
tell("new", q)
settle()
return 1`)

// replaced answers for a message whose key another task holds. If it may, it gives that
// task its content; it stores a task of its own if that one has begun meanwhile. The
// queue of a task stays: its id leads to it.
func (e *Engine) replaced(ctx context.Context, m *engine.Message, held engine.Inserted) (engine.Inserted, error) {
	for ctx.Err() == nil {
		r, err := e.find(ctx, held.ID)
		begun := errors.Is(err, engine.ErrNotFound)
		if err != nil && !begun {
			return held, err
		}
		if !begun {
			old := e.entry(r).Message
			if old.Key != m.Key || old.KeyHold != engine.HoldWaiting || old.Name != m.Name {
				return held, nil
			}
			done, err := e.replace(ctx, r, m, old)
			if done == 1 || err != nil {
				return held, err
			}
			begun = done == 2
		}
		if !begun {
			continue // another has replaced it
		}
		l, now := e.newLot(), time.Now()
		if err := l.add(m, now); err != nil {
			return held, err
		}
		ids, err := e.send(ctx, l)
		if err != nil && conflict(err) {
			ids, err = e.sentAgain(ctx, l, err)
		}
		if err != nil {
			return held, err
		}
		if ids[0] == "" {
			e.queues.use(m.Queue)
			return engine.Inserted{ID: l.ids[0]}, nil
		}
		held.ID = taskID(ids[0])
	}
	return held, context.Cause(ctx)
}

// replace runs the script, and returns its answer.
func (e *Engine) replace(ctx context.Context, r *reading, m, old *engine.Message) (int, error) {
	own, now := m.Replacing(old), time.Now()
	own.Queue = r.queue
	limits, err := encodeLimits(own)
	if err != nil {
		return 0, err
	}
	tm, err := e.encodeMessage(own)
	if err != nil {
		return 0, err
	}
	var due any = ""
	if own.Due.After(now) {
		due = score(own.Due)
	}
	return e.run(ctx, replaceScript, r.queue, r.id, r.msg, e.servers(ctx, now), now.UnixNano(),
		tm.encode(), due, own.Name, limits).Int()
}
