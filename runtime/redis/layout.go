package redis

import (
	"time"
)

// The keys of asynq (internal/base of v0.26). Those of one queue share a hash
// tag.
const allQueues = "asynq:queues"

func queueKey(queue, name string) string { return "asynq:{" + queue + "}:" + name }

func taskKey(queue, id string) string { return queueKey(queue, "t:"+id) }

// Keys and channels of our own.
const (
	keyPrefix      = "taskctx:key:"    // + a Message.Key: the id that holds it
	beatPrefix     = "taskctx:beat:"   // + a worker: how often it has beaten
	newChannel     = "taskctx:new"     // queues that got a task
	controlChannel = "taskctx:control" // running tasks that were cancelled
	endChannel     = "taskctx:end"     // tasks that ended
)

// The states of asynq, as its task hashes have them.
const (
	asynqPending   = "pending"
	asynqScheduled = "scheduled"
	asynqActive    = "active"
	asynqRetry     = "retry"
	asynqArchived  = "archived"
	asynqCompleted = "completed"
)

// score is a time in a sorted set: asynq's are whole seconds, and it reads
// fractions as well.
func score(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func fromScore(s float64) time.Time { return time.UnixMicro(int64(s * 1e6)).UTC() }
