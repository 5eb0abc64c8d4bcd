package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Historian = (*Engine)(nil)

// The history is in hashes: one for all queues together, and one for each queue by
// itself, for historySpan steps each. A field is the begin of the step in seconds,
// what happened, and the queue, with a space between. Redis forgets them.
const historySpan = 60

// historyKey is the hash of a step's tallies around a time.
func (l *layout) historyKey(step time.Duration, at time.Time, each bool) string {
	key := l.ours + "history:"
	if each {
		key += "queues:"
	}
	return key + strconv.FormatInt(int64(step/time.Second), 10) + ":" + strconv.FormatInt(spanOf(step, at), 10)
}

// spanOf numbers the hash that a time is in.
func spanOf(step time.Duration, at time.Time) int64 {
	return at.Unix() / int64(step/time.Second) / historySpan
}

// addHistoryScript adds tallies. ARGV: for each its key, for how many seconds that
// is kept, the field, and the number.
var addHistoryScript = script(`
for i = 1, #ARGV, 4 do
	firm("HINCRBY", ARGV[i], ARGV[i+2], ARGV[i+3])
	redis.call("EXPIRE", ARGV[i], ARGV[i+1])
end
return 1`)

// historyAtOnce bounds the tallies of one call of addHistoryScript.
const historyAtOnce = 1500

// AddHistory implements [engine.Historian]. Tallies of more than 1,500 are added in
// lots, of which an error may leave some out.
func (e *Engine) AddHistory(ctx context.Context, ts []engine.Tally) error {
	if err := e.closed(); err != nil {
		return err
	}
	fresh, _ := engine.FreshTallies(ts, time.Now())
	for lot := range slices.Chunk(fresh, historyAtOnce) {
		args := make([]any, 0, 4*len(lot))
		for _, t := range lot {
			kept := engine.HistoryKept(t.Step) + historySpan*t.Step
			field := strconv.FormatInt(t.At.Unix(), 10) + " " + t.Kind + " " + t.Queue
			args = append(args, e.historyKey(t.Step, t.At, t.Queue != ""), int64(kept/time.Second), field, t.Tasks)
		}
		if err := e.run(ctx, addHistoryScript, args...).Err(); err != nil {
			return e.failed("add to the history", err)
		}
	}
	return nil
}

// History implements [engine.Historian].
func (e *Engine) History(ctx context.Context, q engine.HistoryQuery) ([]engine.Tally, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	kept := engine.HistoryKept(q.Step)
	if kept == 0 {
		return nil, nil
	}
	now := time.Now()
	since, until := now.Add(-kept), now.Add(2*q.Step)
	if q.Since.After(since) {
		since = q.Since
	}
	if !q.Until.IsZero() && q.Until.Before(until) {
		until = q.Until
	}
	first := now.Add(-kept).Truncate(q.Step)
	var answers []*redis.MapStringStringCmd
	_, err := e.db.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := spanOf(q.Step, since); n <= spanOf(q.Step, until); n++ {
			at := time.Unix(n*historySpan*int64(q.Step/time.Second), 0)
			answers = append(answers, p.HGetAll(ctx, e.historyKey(q.Step, at, q.Queues || q.Queue != "")))
		}
		return nil
	})
	if err = spoilt(err); err != nil {
		return nil, e.failed("read the history", err)
	}
	var ts []engine.Tally
	for _, a := range answers {
		for field, n := range a.Val() {
			if t, ok := readTally(q.Step, field, n); ok && q.Selects(&t) && !t.At.Before(first) {
				ts = append(ts, t)
			}
		}
	}
	return ts, nil
}

// readTally reads a field of a hash, which anybody may have written.
func readTally(step time.Duration, field, number string) (engine.Tally, bool) {
	at, rest, _ := strings.Cut(field, " ")
	kind, queue, ok := strings.Cut(rest, " ")
	seconds, err := strconv.ParseInt(at, 10, 64)
	tasks, errTasks := strconv.ParseInt(number, 10, 64)
	return engine.Tally{Step: step, At: time.Unix(seconds, 0).UTC(), Queue: queue, Kind: kind, Tasks: tasks},
		ok && err == nil && errTasks == nil && tasks > 0
}
