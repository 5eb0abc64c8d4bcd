package sqlite

import (
	"context"
	"fmt"
	"math"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// Bounds of Counts: it reads about maxCounted rows one by one at most. If
// there are more, it reads a sample of strata times perStratum rows.
const (
	maxCounted = 20_000
	strata     = 128
	perStratum = 32
)

// Counts implements [engine.Counter]. It counts a file of at most 20,000 tasks
// exactly. In a larger one it counts tasks that wait, run or have ended badly
// exactly to [engine.ExactCounts] in each queue, 20,000 in all. It estimates
// succeeded tasks and the rest from a sample of the file, which may miss a
// queue with few of them.
func (e *Engine) Counts(ctx context.Context) ([]engine.Count, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, err := e.reader(ctx)
	if err != nil {
		return nil, e.explain(err)
	}
	defer e.readers.put(r)
	t := tally{c: r.c, now: nanos(e.now()), left: maxCounted, places: make(map[place]*number)}
	err = t.count()
	if err == nil {
		err = t.addOldest()
	}
	if err != nil {
		return nil, e.explain(err)
	}
	return t.counts(), nil
}

// countedColumns are the columns that decide where a task is counted.
const countedColumns = "queue, state, attempt, due, ended_at, keep, keep_failed"

// place is a queue and a state, which are counted apart.
type place struct {
	queue string
	state engine.State
}

// number is how many tasks were counted in a place, and how many the sample
// estimates.
type number struct {
	counted int64
	sampled float64
	more    bool  // not all were counted
	oldest  int64 // since when the oldest is due; 0 is not known
}

// tally is one counting.
type tally struct {
	c      *lite.Conn
	now    int64
	left   int // rows that may still be read one by one
	places map[place]*number
}

func (t *tally) at(p place) *number {
	n := t.places[p]
	if n == nil {
		n = new(number)
		t.places[p] = n
	}
	return n
}

func (t *tally) count() error {
	large, err := t.c.Prepare(fmt.Sprintf("SELECT 1 FROM @tasks LIMIT 1 OFFSET %d", maxCounted))
	if err != nil {
		return err
	}
	defer large.Close()
	if more, err := large.Step(); err != nil {
		return err
	} else if !more {
		_, err := t.countUpTo("1", maxCounted)
		return err
	}
	if err := t.sample(); err != nil {
		return err
	}
	for p, n := range t.places {
		n.more = p.state == engine.StateSucceeded // nothing else says how many
	}
	for _, part := range []struct {
		where  string
		states []engine.State
	}{
		{"state <= 3", []engine.State{engine.StatePending, engine.StateRetrying}},
		{"state = 5", []engine.State{engine.StatePending, engine.StateRetrying}},
		{"state IN (9, 10)", []engine.State{engine.StateFailed, engine.StateCancelled}},
	} {
		if err := t.countQueues(part.where, part.states); err != nil {
			return err
		}
	}
	for where, states := range map[string][]engine.State{
		"state = 4":         {engine.StateRunning},
		"state = 11":        {engine.StateWaiting},
		"state IN (12, 13)": {engine.StatePending, engine.StateRetrying},
		"state IN (6, 7)":   {engine.StateScheduled, engine.StatePending, engine.StateRetrying},
	} {
		all, err := t.countUpTo(where, max(t.left, 1))
		if err != nil {
			return err
		}
		if !all {
			t.leaveToSample("", states)
		}
	}
	return nil
}

// countUpTo counts the tasks of a condition, which an index or the table
// serves, but reads at most limit rows. It reports whether these were all.
func (t *tally) countUpTo(where string, limit int) (all bool, err error) {
	read, err := t.add(`SELECT queue, state, state = 5 AND attempt > 0, state = 6 AND due <= ?1, NOT (`+overKept+`), count(*)
		FROM (SELECT `+countedColumns+` FROM @tasks WHERE `+where+` LIMIT ?2) GROUP BY 1, 2, 3, 4, 5`, func(st *lite.Stmt) {
		st.BindInt(2, int64(limit)+1)
	})
	return read <= limit, err
}

// countQueues counts the tasks of a condition whose index begins with the queue.
func (t *tally) countQueues(where string, states []engine.State) error {
	next, err := t.c.Prepare("SELECT queue FROM @tasks WHERE " + where + " AND queue > ?1 ORDER BY queue LIMIT 1")
	if err != nil {
		return err
	}
	defer next.Close()
	for queue := ""; ; {
		next.Reset()
		next.BindText(1, queue)
		if ok, err := next.Step(); err != nil || !ok {
			return err
		}
		if t.left <= 0 {
			t.leaveToSample("", states)
			return nil
		}
		queue = next.Text(0)
		limit := min(t.left, engine.ExactCounts)
		read, err := t.add(`SELECT queue, state, state = 5 AND attempt > 0, 0, NOT (`+overKept+`), count(*)
			FROM (SELECT `+countedColumns+` FROM @tasks WHERE `+where+` AND queue = ?3 LIMIT ?2) GROUP BY 1, 2, 3, 4, 5`, func(st *lite.Stmt) {
			st.BindInt(2, int64(limit)+1)
			st.BindText(3, queue)
		})
		if err != nil {
			return err
		}
		if read > limit {
			t.leaveToSample(queue, states)
		}
	}
}

// add adds the counts of a statement, and returns how many rows that were. All
// of them are taken from the rows left to read.
func (t *tally) add(sql string, bind func(*lite.Stmt)) (read int, err error) {
	st, err := t.c.Prepare(sql)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	st.BindInt(1, t.now)
	bind(st)
	err = st.Each(func() bool {
		n := st.Int(5)
		read += int(n)
		if st.Int(4) == 1 {
			state := publicState(int(st.Int(1)), int(st.Int(2)), 1-st.Int(3), 0)
			t.at(place{st.Text(0), state}).counted += n
		}
		return true
	})
	t.left -= read + 1
	return read, err
}

// leaveToSample notes that the tasks of a queue, or of all, in these states
// were not all counted.
func (t *tally) leaveToSample(queue string, states []engine.State) {
	for _, s := range states {
		if queue != "" {
			t.at(place{queue, s}).more = true
			continue
		}
		for p, n := range t.places {
			n.more = n.more || p.state == s
		}
	}
}

// sample reads a few tasks at places spread evenly over the file's sequence
// numbers, and weighs each with the numbers that it stands for.
func (t *tally) sample() error {
	ends, err := t.c.Prepare("SELECT (SELECT min(seq) FROM @tasks), (SELECT max(seq) FROM @tasks)")
	if err != nil {
		return err
	}
	defer ends.Close()
	if ok, err := ends.Step(); err != nil || !ok {
		return err
	}
	first, last := ends.Int(0), ends.Int(1)
	st, err := t.c.Prepare(fmt.Sprintf(`SELECT queue, state, attempt, due, NOT (%s), seq
		FROM @tasks WHERE seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT %d`, overKept, perStratum))
	if err != nil {
		return err
	}
	defer st.Close()
	width := (float64(last) - float64(first) + 1) / strata
	for i := range strata {
		from := first + int64(float64(i)*width)
		to := last
		if i < strata-1 {
			to = first + int64(float64(i+1)*width) - 1
		}
		if err := t.sampleStratum(st, from, to); err != nil {
			return err
		}
	}
	return nil
}

func (t *tally) sampleStratum(st *lite.Stmt, from, to int64) error {
	st.Reset()
	st.BindInt(1, t.now)
	st.BindInt(2, from)
	st.BindInt(3, to)
	found := make(map[place]int)
	rows, end := 0, from
	if err := st.Each(func() bool {
		rows, end = rows+1, st.Int(5)
		if st.Int(4) == 1 {
			found[place{st.Text(0), publicState(int(st.Int(1)), int(st.Int(2)), st.Int(3), t.now)}]++
		}
		return true
	}); err != nil {
		return err
	}
	weight := 1.0
	if rows == perStratum { // the rest of the stratum is taken to be as dense
		weight = (float64(to) - float64(from) + 1) / (float64(end) - float64(from) + 1)
	}
	for p, n := range found {
		t.at(p).sampled += weight * float64(n)
	}
	return nil
}

// counts returns the result.
func (t *tally) counts() []engine.Count {
	counts := make([]engine.Count, 0, len(t.places))
	for p, n := range t.places {
		c := engine.Count{Queue: p.queue, State: p.state, Tasks: n.counted}
		if n.more {
			c.Tasks, c.Estimated = max(n.counted, int64(math.Round(n.sampled))), true
		}
		if n.oldest != 0 && p.state == engine.StatePending {
			c.Oldest = timeOf(n.oldest)
		}
		if c.Tasks > 0 {
			counts = append(counts, c)
		}
	}
	return counts
}
