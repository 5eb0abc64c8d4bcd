package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Until a vacuum removes them, an index has an entry for each state that a job was in.
// A statement that looks for the first job of a queue goes through all that are dead
// before it, and says nothing of how many these were until it has found one. So a
// statement has a slice of time. One that was cut has answered with the groups before
// that place: the next one goes on behind them. If there were none, it is
// told by what was read whether the machine is slow, or all that was there is dead.
// Then it goes on behind the next queue that is known of, with less patience.

const (
	// firstSlice is how long a statement about jobs that wait or run may take at first,
	// and nextSlice after one of their state was blocked; endedSlice is it for the other
	// states, which keep their jobs. One that has more to read, or that a slow machine
	// serves, gets twice the time again and again, up to mostSlice.
	firstSlice, nextSlice, endedSlice, mostSlice = 3 * time.Millisecond, time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond
	// firstPatience and nextPatience are what must have been read in vain of one that
	// is blocked.
	firstPatience, nextPatience = 25_000, 15_000
	// mostBlocked is how many statements may be blocked.
	mostBlocked = 5
	// spansAtOnce is how many statements are sent with one round trip.
	spansAtOnce = 100
	// mostOfSpan is how many jobs a statement counts.
	mostOfSpan = engine.ExactCounts + 1
)

// span is queues of a state whose jobs are counted: those after one, and before another
// unless that is "".
type span struct {
	state, after, before string
	marks                bool // only jobs with marks
	times                int  // that its time was doubled
}

// spans are all queues of each state, but for places of which the sample is sure.
func (n *counting) spans() (all []span) {
	for _, state := range countedStates {
		var of []span
		after := ""
		for _, queue := range n.known {
			if n.samples[place{state, queue}].sure() {
				of = append(of, span{state: state, after: after, before: queue})
				after = queue
			}
		}
		of = append(of, span{state: state, after: after})
		all = append(all, of...)
		if state == riverAvailable || state == riverPending || state == riverScheduled {
			for _, s := range of {
				s.marks = true
				all = append(all, s)
			}
		}
	}
	return all
}

// ask is a statement of a batch.
type ask struct {
	slice time.Duration
	sql   string
	args  []any
	rows  func(pgx.Rows) error
}

// send sends statements that have a slice of time each, and returns how many were
// answered: fewer if one took longer.
func (n *counting) send(ctx context.Context, asks []ask) (answered int, err error) {
	b := new(pgx.Batch)
	b.Queue("SAVEPOINT counting")
	var slice time.Duration
	for _, a := range asks {
		if a.slice != slice {
			slice = a.slice
			b.Queue(countingSQL, strconv.FormatInt(slice.Milliseconds(), 10))
		}
		b.Queue(a.sql, a.args...).Query(a.rows)
		b.Queue(n.sql.cost).QueryRow(func(row pgx.Row) error {
			answered++
			return row.Scan(&n.cost, &n.vain)
		})
	}
	const undo = "ROLLBACK TO counting" // and of the settings
	b.Queue(undo)
	err = n.tx.SendBatch(ctx, b).Close()
	if sqlState(err) == "57014" && ctx.Err() == nil {
		_, err = n.tx.Exec(ctx, undo)
	}
	return answered, err
}

// answer is what a statement said of a span.
type answer struct {
	limit, jobs      int
	groups           int
	last, beforeLast string // queues
	ofLast           int
}

// read counts the spans.
func (n *counting) read(ctx context.Context, spans []span) error {
	for len(spans) > 0 {
		now := spans[:min(len(spans), spansAtOnce)]
		rest := append([]span(nil), spans[len(now):]...)
		asks, answers := make([]ask, len(now)), make([]answer, len(now))
		for i, s := range now {
			asks[i] = n.ask(s, &answers[i])
		}
		answered, err := n.send(ctx, asks)
		if err != nil {
			return err
		}
		var again []span
		for i, s := range now[:answered] {
			if s, more := n.settle(s, &answers[i]); more {
				again = append(again, s)
			}
		}
		if answered < len(now) {
			s, first, more, err := n.cut(ctx, now[answered], &answers[answered])
			switch {
			case err != nil:
				return err
			case more && first:
				again = append(again, s)
			case more:
				rest = append(rest, s)
			}
			again = append(again, now[answered+1:]...)
		}
		spans = append(again, rest...)
	}
	return nil
}

// ask makes the statement for a span, which fills the answer.
func (n *counting) ask(s span, a *answer) ask {
	sql := map[bool]map[bool]string{
		false: {false: n.sql.groups, true: n.sql.groupsTo}, true: {false: n.sql.marks, true: n.sql.marksTo},
	}[s.marks][s.before != ""]
	args := []any{s.state, s.after, mostOfSpan, n.end}
	if s.before != "" {
		args = append(args, s.before)
	}
	rows := func(rows pgx.Rows) error { return n.groups(rows, s, a) }
	if s.marks {
		rows = func(rows pgx.Rows) error { return n.marks(rows, s, a) }
	}
	slice, _ := n.patience(s)
	return ask{slice, sql, args, func(r pgx.Rows) error {
		a.limit = int(max(0, min(mostOfSpan, n.end-n.cost)))
		return rows(r)
	}}
}

func (n *counting) groups(rows pgx.Rows, s span, a *answer) error {
	var queue string
	var jobs, ahead int
	var oldest time.Time
	_, err := pgx.ForEachRow(rows, []any{&queue, &jobs, &ahead, &oldest}, func() error {
		if s.state != riverScheduled { // only there a time has a meaning
			ahead = 0
		}
		n.found[place{s.state, queue}] = &counted{jobs: float64(jobs), ahead: float64(ahead), oldest: oldest}
		a.add(queue, jobs)
		return nil
	})
	return err
}

func (n *counting) marks(rows pgx.Rows, s span, a *answer) error {
	var queue string
	counts := make([]int, len(markKinds))
	into := []any{&queue}
	for i := range counts {
		into = append(into, &counts[i])
	}
	_, err := pgx.ForEachRow(rows, into, func() error {
		jobs, p := 0, place{s.state, queue}
		n.marked[p] = nil
		for i, of := range counts {
			if jobs += of; of > 0 {
				k := markKinds[i]
				n.marked[p] = append(n.marked[p], marked{share{k.again, k.later, float64(of)}, k.ahead})
			}
		}
		a.add(queue, jobs)
		return nil
	})
	return err
}

func (a *answer) add(queue string, jobs int) {
	a.last, a.beforeLast, a.ofLast = queue, a.last, jobs
	a.jobs += jobs
	a.groups++
}

// settle returns what is left of a span after an answer.
func (n *counting) settle(s span, a *answer) (left span, more bool) {
	switch {
	case a.jobs < a.limit:
		return s, false
	case a.limit < mostOfSpan:
		n.leave(s)
		n.partly(s, a.last)
		return s, false
	case a.ofLast > engine.ExactCounts:
		n.partly(s, a.last)
		s.after = a.last
	default: // the last queue once more
		s.after = a.beforeLast
	}
	return s, true
}

// partly notes that not all jobs of a queue were counted.
func (n *counting) partly(s span, queue string) {
	if c := n.found[place{s.state, queue}]; c != nil {
		c.more = true
	}
}

// patience returns how long a statement for a span may take, and what it must have read
// in vain by then to be blocked.
func (n *counting) patience(s span) (time.Duration, int64) {
	switch {
	case n.open[s.state]:
		return nextSlice << s.times, nextPatience
	case s.state == riverAvailable || s.state == riverRunning:
		return firstSlice << s.times, firstPatience
	}
	return endedSlice << s.times, firstPatience
}

// leave leaves the rest of a span to the estimates.
func (n *counting) leave(s span) {
	if s.marks {
		n.openMarks[s.state] = true
	} else {
		n.open[s.state] = true
	}
}

// cut returns what is left of a span whose statement has not ended, and whether it
// comes before the others.
func (n *counting) cut(ctx context.Context, s span, a *answer) (left span, first, more bool, err error) {
	if a.groups > 0 {
		s.after, s.times = a.last, 0 // the last group is one that was followed by another
		return s, true, true, nil
	}
	cost, vain := n.cost, n.vain
	if err := n.tx.QueryRow(ctx, n.sql.cost).Scan(&n.cost, &n.vain); err != nil {
		return s, false, false, err
	}
	slice, patience := n.patience(s)
	if n.vain-vain < patience && slice < mostSlice {
		s.times++
		return s, true, true, nil
	}
	n.end += n.cost - cost
	n.blocked++
	n.leave(s)
	if n.blocked >= mostBlocked {
		return s, false, false, nil
	}
	var next *string
	err = n.tx.QueryRow(ctx, n.sql.nextQueue, n.known, s.after, s.before).Scan(&next)
	if err != nil || next == nil {
		return s, false, false, err
	}
	s.after, s.times = *next, 0
	return s, false, true, nil
}
