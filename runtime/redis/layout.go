package redis

import (
	"fmt"
	"strings"
	"time"
)

// allQueues is asynq's set of queues (internal/base of v0.26): the one key outside of the
// slot of a hash tag.
const allQueues = "asynq:queues"

// layout names the keys and channels of an engine. Those of asynq are named after a
// queue, "asynq:{queue}:...". With a hash tag all keys are in the slot of the tag, since
// Redis hashes what stands between the first brace and the next that closes: the queue
// "mail" is asynq's queue "tag}mail", and the queue named like the tag is asynq's of that
// name. prelude names keys for the scripts in the same way.
type layout struct {
	tag string // "" for none
	// ours begins the names of our own keys and channels: those of which worker beats
	// ("beat:" and its id), of what it says of itself ("worker:"), of all workers, and
	// when they were last seen ("workers"), and of who holds a Message.Key ("key:").
	ours string
	// Channels: of queues that got a task, of running tasks that were cancelled, and
	// of tasks that ended.
	newChannel, controlChannel, endChannel string
	// keys are the KEYS of the scripts, by which a cluster finds the slot, and the
	// scripts the tag. There are never such keys. While the slot moves to another
	// server each refuses a command with two keys that it does not have, so that no
	// script sees a part of the slot's keys.
	keys []string
}

func newLayout(tag string) layout {
	l := layout{tag: tag, ours: "taskctx:"}
	if tag != "" {
		l.ours = "taskctx:{" + tag + "}:"
		l.keys = []string{l.ours + "slot", l.ours + "whole"}
	}
	l.newChannel, l.controlChannel, l.endChannel = l.ours+"new", l.ours+"control", l.ours+"end"
	return l
}

// checkTag refuses a hash tag that is not one in every key and pattern.
func checkTag(tag string) error {
	for _, c := range []byte(tag) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".:_-", c) >= 0) {
			return fmt.Errorf("the hash tag %q: it may have ASCII letters, digits and \".\", \":\", \"_\", \"-\"", tag)
		}
	}
	return nil
}

// inAsynq returns asynq's name of a queue.
func (l *layout) inAsynq(queue string) string {
	if l.tag == "" || queue == l.tag {
		return queue
	}
	return l.tag + "}" + queue
}

// ofAsynq returns the name of one of asynq's queues, and whether it has the tag.
func (l *layout) ofAsynq(name string) (queue string, ok bool) {
	if l.tag == "" || name == l.tag {
		return name, true
	}
	queue, ok = strings.CutPrefix(name, l.tag+"}")
	return queue, ok && queue != "" && queue != l.tag
}

func (l *layout) queueKey(queue, name string) string {
	return "asynq:{" + l.inAsynq(queue) + "}:" + name
}

func (l *layout) taskKey(queue, id string) string { return l.queueKey(queue, "t:"+id) }

func (l *layout) journalKey(p place) string { return l.taskKey(p.queue, p.id) + ":journal" }

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
