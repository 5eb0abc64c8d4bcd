package redis

import (
	"time"
)

// Keys of asynq (internal/base of v0.26). Those of one queue share a hash tag.
const allQueues = "asynq:queues"

func queueKey(queue, name string) string { return "asynq:{" + queue + "}:" + name }

func taskKey(queue, id string) string { return queueKey(queue, "t:"+id) }

// Keys and channels of our own.
const (
	keyPrefix      = "taskctx:key:"    // + a Message.Key: the task that holds it, and how; see holder
	beatPrefix     = "taskctx:beat:"   // + a worker: its beat, a count
	workersKey     = "taskctx:workers" // when workers were last seen, for operators
	workerPrefix   = "taskctx:worker:" // + a worker: its description of itself
	channelPrefix  = "taskctx:"
	newChannel     = "taskctx:new"     // queues that got a task
	controlChannel = "taskctx:control" // running tasks that were cancelled
	endChannel     = "taskctx:end"     // tasks that ended
)

// Sets of our own beside asynq's keys of a queue, for states of ours that are
// one for asynq. Only tasks in the rarer of these states are in them, and tidy
// takes out leftovers of asynq's tools.
//
//   - taskctx:parked, by name: those of its retries that no worker has known.
//   - taskctx:again: those pending, or parked, that have run before.
//   - taskctx:cancelled: those archived that were cancelled.
//   - taskctx:waits: those scheduled that are suspended; see also journalPrelude.
//   - taskctx:ready and taskctx:aside: those scheduled that have limits and are due;
//     see limitPrelude.
//   - taskctx:gone: entries of a long list of pending tasks that lead to no
//     pending task any more.

// States of asynq, as its task hashes have them.
const (
	asynqPending   = "pending"
	asynqScheduled = "scheduled"
	asynqActive    = "active"
	asynqRetry     = "retry"
	asynqArchived  = "archived"
	asynqCompleted = "completed"
)

// score returns a time as in a sorted set: asynq's are whole seconds, and it
// reads fractions as well.
func score(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// fromScore returns the time of a score, which anybody may have written,
// within the years that JSON can have.
func fromScore(s float64) time.Time {
	return time.UnixMicro(int64(max(min(s, lastSecond), 0) * 1e6)).UTC()
}

// forever is the score of a task that waits without an end.
const (
	forever     = 7258118400
	foreverText = "7258118400"
)

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799
