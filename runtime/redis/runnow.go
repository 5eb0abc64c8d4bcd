package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.NowRunner = (*Engine)(nil)

// runNowScript makes a task pending that waits for its time. One that waits for its
// turn goes on waiting, and is due then. ARGV: the queue, id, the time in ns and as
// text. It answers with the task's state before and its details.
var runNowScript = script(limitPrelude + `
local q, id = ARGV[1], ARGV[2]
local v = soft("HMGET", t(q, id), "state", "taskctx", "taskctx_parked", "taskctx_limits", "taskctx_aside", "taskctx_due")
local state, own = v and v[1] or "", v and v[2] or ""
if state ~= "scheduled" and state ~= "retry" or v[3] or has(own, '"waits":true') then return {state, own} end
local function now()
	local ok, d = pcall(cjson.decode, own == "" and "{}" or own)
	if not ok or type(d) ~= "table" then d = {} end
	d.due = ARGV[4]
	redis.call("HSET", t(q, id), "taskctx", cjson.encode(d))
end
if v[5] then
	if v[5] ~= "" and (tonumber(v[6] or "") or 0) > micros() then
		now()
		redis.call("HSET", t(q, id), "taskctx_due", int(micros()))
		firm("ZADD", k(q, "taskctx:aside"), int(micros()), id)
	end
	return {state, own}
end
now()
soft("ZREM", k(q, state), id)
local ls = limitsOf(v[4])
if ls then
	come(q, id, ls, micros(), ran(own))
	return {state, own}
end
if ran(own) then soft("SADD", k(q, "taskctx:again"), id) end
redis.call("HSET", t(q, id), "state", "pending", "pending_since", ARGV[3])
firm("LPUSH", k(q, "pending"), id)
tell("new", q)
return {state, own}`)

// RunNow implements [engine.NowRunner].
func (e *Engine) RunNow(ctx context.Context, id uuid.UUID) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	answer, err := e.run(ctx, runNowScript, p.queue, p.id, now.UnixNano(), now.UTC().Format(time.RFC3339Nano)).StringSlice()
	switch {
	case err != nil:
		return e.failed("redis", err)
	case len(answer) < 2:
		return e.failed("redis", errAnswer)
	}
	own := decodeDetails(answer[1])
	switch state := own.state(answer[0], now); {
	case answer[0] == "":
		return engine.ErrNotFound
	case state != engine.StateScheduled && state != engine.StatePending && state != engine.StateRetrying:
		return fmt.Errorf("%w: it is %s", engine.ErrState, state)
	}
	e.workers.Nudge()
	return nil
}
