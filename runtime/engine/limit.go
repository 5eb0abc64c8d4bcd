package engine

import (
	"context"
	"time"
)

// Limit bounds the running tasks with its Key, in all processes, to Most. A
// task counts while it runs and its worker's lease holds. A task that waits
// for its next run, or is suspended, holds no place.
//
// With Per it is a rate: Most runs with its Key begin in any time as long as
// Per. A run counts from its claim on, however soon it ends; so does each
// further run of a task, after a retry, a snooze, a suspension or the loss of
// its worker. A task that was let in and has not begun yet has a place, too.
//
// A task with several limits takes its places in the order of Message.Limits,
// and keeps those that it has while it waits for the next one. To prevent
// deadlocks, limits are in one order in all messages: an App puts the narrow
// ones first.
type Limit struct {
	// Rule names the source of the limit: SetLimit changes Most for all its
	// keys.
	Rule string `json:"rule"`
	// Key is one of the rule's keys, as there is one for each value of a parameter,
	// or the rule itself. Keys of different rules are different.
	Key string `json:"key"`
	// Most is how many tasks may run at a time, at least 1, unless SetLimit says
	// otherwise.
	Most int `json:"most,omitempty"`
	// Ordered lets one task run at a time, in the order of enqueueing,
	// regardless of Most. The head keeps its place until it has ended: also
	// while it is not due yet, and while it waits for its next run. Ordered
	// limits come first.
	Ordered bool `json:"ordered,omitempty"`
	// Per makes it a rate, of which Most is at most [MaxRate].
	Per time.Duration `json:"per,omitempty"`
}

// MaxRate is the highest Limit.Most of a rate: an engine remembers as many runs
// of each key.
const MaxRate = 10_000

// Spacing is how long a run counts under a rate, by the clock of the store: Per,
// and a fiftieth of it, at most a second. The run begins a little after the
// engine has counted it, some later than others, and the rate is to hold for the
// runs.
func (l *Limit) Spacing() time.Duration { return l.Per + min(l.Per/50, time.Second) }

// LimitCount is how many tasks are under a rule.
type LimitCount struct {
	Rule string `json:"rule"`
	// Set is the limit of SetLimit, negative without one.
	Set int `json:"set"`
	// Per is that of a rate, zero of a limit.
	Per time.Duration `json:"per,omitempty"`
	// Keys is of how many keys there are tasks, Held how many places tasks hold,
	// and Waiting how many tasks wait for one. The runs that began within the last
	// Spacing hold the places of a rate.
	Keys    int `json:"keys"`
	Held    int `json:"held"`
	Waiting int `json:"waiting"`
}

// Limiter is implemented by engines that honour Message.Limits. An App refuses
// messages with limits on others.
//
// A task that may not run yet is put aside, is pending or retrying, and its
// Entry.Reason says for which limit it waits. It costs nobody anything there: the
// end of another task lets it go on. Of one key those with the highest priority go
// first, then those due first, then those enqueued first; a task that was let in
// keeps its place. A task that waits for a rate is let in as soon as a run counts no
// more: no engine polls for that. One that has no rates refuses Limit.Per in Check.
type Limiter interface {
	// SetLimit makes most the limit of each key of a rule, for all processes,
	// from now on; 0 lets none begin. A negative most undoes this: each task
	// then goes by its own Limit.Most. It does not change Ordered limits, nor the
	// Per of a rate.
	SetLimit(ctx context.Context, rule string, most int) error
	// Limits returns the rules that have tasks that have not ended, or that were
	// set, in any order.
	Limits(ctx context.Context) ([]LimitCount, error)
}

// LimitRule is the rule of a task's limit= for Limiter.SetLimit, or with the name of
// a parameter that of its limitby=. Where key= gives the parameter another name in the
// arguments, it is that one.
func LimitRule(task, param string) string {
	if param == "" {
		return task + " limit"
	}
	return task + " limitby=" + param
}

// RateRule is the rule of a task's rate= for Limiter.SetLimit, or with the name of a
// parameter, as for [LimitRule], that of its rateby=.
func RateRule(task, param string) string {
	if param == "" {
		return task + " rate"
	}
	return task + " rateby=" + param
}
