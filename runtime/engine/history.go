package engine

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tally is how many tasks something happened to, within a span of time.
type Tally struct {
	// Step is the length of the span, one of [HistorySteps], and At its begin: a
	// multiple of Step since 1970 in UTC.
	Step time.Duration
	At   time.Time
	// Queue is the queue of the tasks, empty for those of all queues.
	Queue string
	// Kind says what happened, in a word of at most 32 bytes: engines do not read
	// it.
	Kind  string
	Tasks int64
}

// historyKept is for how long tallies of each step are kept.
var historyKept = map[time.Duration]time.Duration{
	time.Minute:    26 * time.Hour,
	time.Hour:      15 * 24 * time.Hour,
	24 * time.Hour: 100 * 24 * time.Hour,
}

// HistorySteps returns the steps of a history, the shortest first.
func HistorySteps() []time.Duration { return []time.Duration{time.Minute, time.Hour, 24 * time.Hour} }

// HistoryKept returns for how long tallies of a step are kept, 0 if there is no such
// step.
func HistoryKept(step time.Duration) time.Duration { return historyKept[step] }

// HistoryQuery selects tallies. The zero value of a field but Step selects all.
type HistoryQuery struct {
	Step         time.Duration
	Since, Until time.Time // of Tally.At; Until is not part of it
	Queue        string    // of this queue; empty for those of all queues together
	Queues       bool      // of each queue, instead
}

// Selects reports whether the query is for the tally.
func (q *HistoryQuery) Selects(t *Tally) bool {
	if t.Step != q.Step || t.At.Before(q.Since) || !q.Until.IsZero() && !t.At.Before(q.Until) {
		return false
	}
	if q.Queues {
		return t.Queue != ""
	}
	return t.Queue == q.Queue
}

// Historian is implemented by engines that keep a history: what workers counted
// and handed over now and then, in a few rows for each span of time. No task
// costs a statement for it.
type Historian interface {
	// AddHistory adds each tally's tasks to those of the same step, time, queue and
	// kind. All of them are added, or with an error none. Tallies that are older
	// than [HistoryKept] are left out, and forgotten if there are some.
	AddHistory(ctx context.Context, ts []Tally) error
	// History returns the tallies of a query, in any order, without those of no
	// tasks.
	History(ctx context.Context, q HistoryQuery) ([]Tally, error)
}

// FreshTallies returns those of ts that are to be kept at a time, each once and in the
// order in which all processes write them, and for each step the time before which tallies
// are forgotten.
func FreshTallies(ts []Tally, now time.Time) (fresh []Tally, before map[time.Duration]time.Time) {
	before = make(map[time.Duration]time.Time, len(historyKept))
	for step, kept := range historyKept {
		before[step] = now.Add(-kept).Truncate(step).UTC()
	}
	for _, t := range ts {
		if first, ok := before[t.Step]; ok && t.Tasks > 0 && !t.At.Before(first) {
			fresh = append(fresh, t)
		}
	}
	slices.SortFunc(fresh, compareTallies)
	merged := fresh[:0]
	for _, t := range fresh {
		if n := len(merged); n > 0 && compareTallies(merged[n-1], t) == 0 {
			merged[n-1].Tasks += t.Tasks
			continue
		}
		merged = append(merged, t)
	}
	return merged, before
}

func compareTallies(x, y Tally) int {
	return cmp.Or(cmp.Compare(x.Step, y.Step), x.At.Compare(y.At), cmp.Compare(x.Queue, y.Queue), cmp.Compare(x.Kind, y.Kind))
}

// Kinds that an App with Config.History counts, beside those of [HistoryTimes].
const (
	HistorySucceeded = "succeeded"
	HistoryFailed    = "failed"
	HistoryCancelled = "cancelled"
	// HistoryRetried counts runs that failed and come again.
	HistoryRetried = "retried"
	// HistoryRan and HistoryWaited begin the kinds of how long runs took, and how
	// long tasks waited for their first run from when they were due.
	HistoryRan    = "ran"
	HistoryWaited = "waited"
)

// HistoryLengths is how many lengths of time are told apart: to 2^27 ms, which are
// 37 hours.
const HistoryLengths = 28

// HistoryTimes is one of the times of a history: how many took at most so long, and
// longer than half of it.
//
// The kind of a tally says it as ran.3, for 8 ms: two to the power of 3.
func HistoryTimes(kind string) (what string, atMost time.Duration, ok bool) {
	what, power, found := strings.Cut(kind, ".")
	n, err := strconv.Atoi(power)
	if !found || err != nil || n < 0 || n >= HistoryLengths || what != HistoryRan && what != HistoryWaited {
		return "", 0, false
	}
	return what, time.Millisecond << n, true
}
