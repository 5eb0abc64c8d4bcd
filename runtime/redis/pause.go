package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Pauser = (*Engine)(nil)

// namesResumed is published in newChannel, in the place of a queue, when tasks
// of a name are resumed.
const namesResumed = ""

// Names that are paused are a hash of ours, "paused", with the time since when in
// seconds. A queue is paused by asynq's own key.

// pauseScript pauses. ARGV: the queue or "", the name or "", and the time in
// seconds. A queue without tasks becomes one that asynq's tools list.
var pauseScript = script(`
if ARGV[1] == "" then return firm("HSETNX", ours .. "paused", ARGV[2], ARGV[3]) end
list(ARGV[1])
return redis.call("SETNX", k(ARGV[1], "paused"), ARGV[3])`)

// resumeScript undoes pauseScript. ARGV: the queue or "", and the name or "".
var resumeScript = script(`
if ARGV[1] == "" then
	soft("HDEL", ours .. "paused", ARGV[2])
else
	redis.call("DEL", k(ARGV[1], "paused"))
end
tell("new", ARGV[1])
return 1`)

// pausedScript answers with the names that are paused and since when, and with the
// same of queues, among those of ARGV.
var pausedScript = script(`
local queues = {}
for _, q in ipairs(ARGV) do
	local key = k(q, "paused")
	if redis.call("EXISTS", key) == 1 then
		queues[#queues+1] = q
		queues[#queues+1] = soft("GET", key) or ""
	end
end
return {soft("HGETALL", ours .. "paused") or {}, queues}`)

// Pause implements [engine.Pauser]. It holds for all workers at once.
func (e *Engine) Pause(ctx context.Context, p engine.Pause) error {
	if err := e.closed(); err != nil {
		return err
	}
	if p.Queue != "" {
		e.enlist(ctx, p.Queue)
	}
	if err := e.run(ctx, pauseScript, p.Queue, p.Name, time.Now().Unix()).Err(); err != nil {
		return e.failed("redis", err)
	}
	if err := e.leavePaused(ctx, p); err != nil { // the sweep goes on with it
		return e.failed("redis", err)
	}
	return nil
}

// Resume implements [engine.Pauser].
func (e *Engine) Resume(ctx context.Context, p engine.Pause) error {
	if err := e.closed(); err != nil {
		return err
	}
	if err := e.run(ctx, resumeScript, p.Queue, p.Name).Err(); err != nil {
		return e.failed("redis", err)
	}
	return nil
}

// Paused implements [engine.Pauser].
func (e *Engine) Paused(ctx context.Context) ([]engine.Pause, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	queues, err := e.allQueues(ctx)
	if err != nil {
		return nil, e.failed("redis", err)
	}
	answer, err := e.run(ctx, pausedScript, anys(queues)...).Slice()
	if err == nil && len(answer) < 2 {
		err = errAnswer
	}
	if err != nil {
		return nil, e.failed("redis", err)
	}
	var ps []engine.Pause
	for i, named := range []func(string) engine.Pause{
		func(s string) engine.Pause { return engine.Pause{Name: s} },
		func(s string) engine.Pause { return engine.Pause{Queue: s} },
	} {
		pairs, _ := answer[i].([]any)
		for ; len(pairs) > 1; pairs = pairs[2:] {
			p := named(text(pairs[0]))
			if at, err := strconv.ParseInt(text(pairs[1]), 10, 64); err == nil {
				p.Since = time.Unix(at, 0).UTC()
			}
			ps = append(ps, p)
		}
	}
	return ps, nil
}
