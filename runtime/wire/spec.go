package wire

import (
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Defaults of Spec.Delay, Backoff and MaxDelay.
const (
	DefaultDelay    = time.Second
	DefaultBackoff  = 2.0
	DefaultMaxDelay = time.Hour
)

// NoDelay is a Spec.Delay with which a task is retried at once.
const NoDelay time.Duration = -1

// Spec is the annotation above a task function, as data. Generated code makes
// one for each task.
type Spec struct {
	// Name is the stable name on the wire, and Aliases are the old names that
	// the function still serves.
	Name    string
	Aliases []string
	// Func is the name of the Go function.
	Func string
	// Queue defaults to [engine.DefaultQueue].
	Queue string
	// Durable: the function remembers its steps; see [runtime.Step]. Only an
	// [engine.Journaler] can run it.
	Durable bool
	// Retries is the number of retries after the first run.
	Retries int
	// Delay is the wait before the first retry, by default 1 s; [NoDelay] is
	// none. Each further wait is Backoff times longer, by default 2, up to
	// MaxDelay, by default 1 h. Each is shortened by up to 10 % at random, so
	// that tasks which failed together do not come back together.
	Delay    time.Duration
	Backoff  float64
	MaxDelay time.Duration
	// Timeout is per attempt; zero is none.
	Timeout time.Duration
	// Priority is from 0 to 3, higher first.
	Priority int
	// Unique, if not zero, is how long a second enqueue of the same arguments
	// returns the first task, unless that one fails, is cancelled or is
	// deleted. UniqueHold, with [engine.HoldActive] or [engine.HoldWaiting],
	// holds the arguments by that rule instead, and Unique is then zero.
	Unique     time.Duration
	UniqueHold engine.KeyHold
	// Keep is how long the record stays after the task succeeded, and KeepFailed
	// after it failed or was cancelled; zero takes Config.Keep and
	// Config.KeepFailed.
	Keep, KeepFailed time.Duration
	// Limit, if not zero, is how many of the tasks run at a time, in all
	// processes; LimitBy is the same for each value of a parameter. OrderBy names
	// a parameter: for each value of it tasks run one at a time, in the order of
	// enqueueing. Rate, if not zero, is how many of their runs begin in a time, and
	// RateBy the same for each value of a parameter. Only an [engine.Limiter] can
	// run such a task.
	Limit   int
	LimitBy []LimitBy
	Rate    Rate
	RateBy  []RateBy
	OrderBy string
	// Tags are the default tags.
	Tags map[string]string
	// Params are the parameters on the wire, in order.
	Params []Param
}

// LimitBy bounds how many tasks run at a time for each value of a parameter.
type LimitBy struct {
	Param string
	Most  int
}

// Rate bounds how many runs begin to N in any time as long as Per.
type Rate struct {
	N   int
	Per time.Duration
}

// RateBy is a Rate of each value of a parameter.
type RateBy struct {
	Param string
	N     int
	Per   time.Duration
}
