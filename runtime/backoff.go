package runtime

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"time"

	"github.com/taskctx/taskctx/runtime/wire"
)

// backoffHeader is the key of Meta.Headers that carries the backoff of one
// call, as JSON.
const backoffHeader = "taskctx-backoff"

// callBackoff is the request of [WithBackoff]. A delay of zero is none.
type callBackoff struct {
	Delay  time.Duration `json:"delay"`
	Factor float64       `json:"factor"`
	Limit  time.Duration `json:"limit"`
}

// backoff returns how long the run's task waits for its next attempt: by
// [WithBackoff], or else by the function's annotation.
func (r *run) backoff() time.Duration {
	if header := r.msg.Meta.Headers[backoffHeader]; header != "" {
		var b callBackoff
		if err := json.Unmarshal([]byte(header), &b); err == nil {
			if b.Delay <= 0 {
				return 0
			}
			return backoffAfter(r.failures(), b.Delay, b.Factor, b.Limit)
		}
	}
	d := r.reg.def
	return backoffAfter(r.failures(), d.Delay, d.Backoff, d.MaxDelay)
}

// backoffAfter returns how long to wait after the failure of an attempt, counted
// from zero: delay × factor^attempt, at most the cap. Up to a tenth is taken
// off at random, so that tasks which failed together do not come back
// together. It is never negative and never over the cap, for any attempt.
func backoffAfter(attempt int, delay time.Duration, factor float64, limit time.Duration) time.Duration {
	if delay < 0 {
		return 0
	}
	if delay == 0 {
		delay = wire.DefaultDelay
	}
	if !(factor >= 1) || math.IsInf(factor, 0) {
		factor = wire.DefaultBackoff
	}
	if limit <= 0 {
		limit = wire.DefaultMaxDelay
	}
	d := float64(delay) * math.Pow(factor, float64(max(attempt, 0)))
	if !(d < float64(limit)) { // infinity and NaN too
		d = float64(limit)
	}
	if d *= 1 - rand.Float64()/10; d >= float64(limit) { // as an integer it may exceed the largest
		return limit
	}
	return time.Duration(d)
}
