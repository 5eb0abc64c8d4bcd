package sqlite

import (
	"context"
	"fmt"
	"math"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// Bounds of Counts. It reads smallFile rows one by one at most, and in a larger
// file a sample of strata times perStratum rows and maxEntries of the indexes.
const (
	smallFile  = 20_000
	maxEntries = 100_000
	strata     = 128
	perStratum = 24
)

// Counts implements [engine.Counter]. It counts the tasks of a queue and a state
// exactly to [engine.ExactCounts], by indexes, of which it reads 100,000 entries
// in all at most, and estimates the others from a sample of the file. In a file
// of more than 20,000 tasks it estimates those that succeeded too, and may miss a
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
	t := tally{c: r.c, now: nanos(e.now()), left: maxEntries, places: make(map[place]*number)}
	err = transact(r.c, "BEGIN", func() error { // at one moment
		if err := t.count(); err != nil {
			return err
		}
		return t.addOldest()
	})
	if err != nil {
		return nil, e.explain(err)
	}
	return t.counts(), nil
}

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
	strata  int   // in so many of them the sample has seen one
	more    bool  // not all were counted
	oldest  int64 // since when the oldest is due; 0 is not known
}

// sure reports that the sample has seen so many tasks that counting them would
// be in vain.
func (n *number) sure() bool { return n.strata >= 30 && n.sampled >= 3*engine.ExactCounts }

// tally is one counting.
type tally struct {
	c      *lite.Conn
	now    int64
	left   int // index entries that may still be read
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
	large, err := t.c.Int(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM @tasks LIMIT 1 OFFSET %d)", smallFile))
	if err != nil {
		return err
	}
	if large == 0 {
		_, err := t.countRows("1", smallFile)
		return err
	}
	if err := t.sample(); err != nil {
		return err
	}
	for p, n := range t.places {
		n.more = p.state == engine.StateSucceeded || n.sure() // nothing else says how many
	}
	for i := range countedParts {
		if err := t.countPart(&countedParts[i]); err != nil {
			return err
		}
	}
	all, err := t.countRows("state = 4", engine.ExactCounts)
	if err == nil && !all {
		for p, n := range t.places {
			n.more = n.more || p.state == engine.StateRunning
		}
	}
	return err
}

// countRows counts the tasks of a condition, which an index or the table serves,
// by their rows, but reads at most limit of them. It reports whether these were all.
func (t *tally) countRows(where string, limit int) (all bool, err error) {
	st, err := t.c.Prepare(`SELECT queue, state, state = 5 AND attempt > 0, state = 6 AND due <= ?1, NOT (` + overKept + `), count(*)
		FROM (SELECT queue, state, attempt, due, ended_at, keep, keep_failed FROM @tasks WHERE ` + where + ` LIMIT ?2)
		GROUP BY 1, 2, 3, 4, 5`)
	if err != nil {
		return false, err
	}
	defer st.Close()
	st.BindInt(1, t.now)
	st.BindInt(2, int64(limit)+1)
	read := 0
	err = st.Each(func() bool {
		n := st.Int(5)
		read += int(n)
		if st.Int(4) == 1 {
			state := publicState(int(st.Int(1)), int(st.Int(2)), 1-st.Int(3), 0)
			t.at(place{st.Text(0), state}).counted += n
		}
		return true
	})
	return read <= limit, err
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
		x := t.at(p)
		x.sampled += weight * float64(n)
		x.strata++
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
