package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Bounds of Counts. What reading costs is told in entries of an index that nothing else
// is read for; see readCost.
const (
	// countBudget is what reading costs before estimates do, in a table of more than
	// smallTable pages.
	countBudget = 150_000
	smallTable  = 200
	// samplePages is how many pages of a large table are read for an estimate, and
	// tailPages how many at its end.
	samplePages = 100
	tailPages   = 60
	// sureFactor is how many times engine.ExactCounts a sample must show, and
	// surePages on how many pages it must have seen such jobs, to be believed
	// without counting.
	sureFactor = 2
	surePages  = 16
)

// countedStates are the states of River's, in the order in which their jobs are counted.
var countedStates = []string{
	riverPending, riverScheduled, riverRetryable, riverAvailable, riverRunning, riverCancelled, riverDiscarded, riverCompleted,
}

// place is a state of River's in a queue.
type place struct{ state, queue string }

// share is how many jobs of a place are alike.
type share struct {
	again, later bool
	jobs         float64
}

// sample is what some pages say of a place.
type sample struct {
	shares []share
	jobs   float64
	pages  int
	oldest time.Time // since when the oldest of them is due
}

func (s *sample) add(x share) {
	s.shares = append(s.shares, x)
	s.jobs += x.jobs
}

// sure reports that there are so many jobs that counting them would be in vain.
func (s *sample) sure() bool {
	return s != nil && s.jobs >= sureFactor*engine.ExactCounts && s.pages >= surePages
}

// Counts implements [engine.Counter]. It reads indexes, entries and what is dead among
// them, up to a bound, and estimates from some pages of the table what it has not
// counted: if a state of River's has more than [engine.ExactCounts] jobs in a queue,
// and where many jobs have ended of which no vacuum has removed the traces yet. There
// it may miss a queue with few jobs.
func (e *Engine) Counts(ctx context.Context) ([]engine.Count, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	var counts []engine.Count
	err := e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		return pgx.BeginTxFunc(ctx, e.pool, steeredTx, func(tx pgx.Tx) (err error) {
			counts, err = (&counting{sql: &e.sql, tx: tx}).counts(ctx)
			return err
		})
	})
	if err != nil {
		return nil, e.failed("count tasks", err)
	}
	return counts, nil
}

// counting is one call of Counts.
type counting struct {
	sql *statements
	tx  pgx.Tx

	pages   int64
	version int // of the server
	samples map[place]*sample
	known   []string // queues, in the order of the database
	found   map[place]*counted
	marked  map[place][]marked
	// open are the states of which not all was read, of jobs and of those with marks.
	open, openMarks map[string]bool

	cost, vain, end int64 // what reading has cost, how much of that nothing came of, and where it ends
	blocked         int   // statements that met nothing but what is dead
}

func (n *counting) counts(ctx context.Context) ([]engine.Count, error) {
	n.found, n.marked, n.samples = make(map[place]*counted), make(map[place][]marked), make(map[place]*sample)
	n.open, n.openMarks = make(map[string]bool), make(map[string]bool)
	if err := n.tx.QueryRow(ctx, n.sql.countBegin).Scan(&n.pages, &n.version, &n.cost, &n.vain); err != nil {
		return nil, err
	}
	n.end = n.cost + countBudget
	if n.pages <= smallTable {
		n.end = n.cost + 1<<40
	} else if err := n.sample(ctx); err != nil {
		return nil, err
	}
	if err := n.read(ctx, n.spans()); err != nil {
		return nil, err
	}
	t := n.tally()
	if err := n.oldest(ctx, t); err != nil {
		return nil, err
	}
	return t.counts(), nil
}

// sample reads some pages of a large table for estimates of the whole, and the last
// ones all: before a vacuum these are what was written last, and so the jobs that wait
// and run, which may be few.
func (n *counting) sample(ctx context.Context) error {
	const readsRanges = 140_000 // the first version that does not read the whole table for them
	last := "(4294967295,0)"
	if n.version >= readsRanges {
		last = fmt.Sprintf("(%d,0)", n.pages-tailPages)
	}
	part := float64(samplePages) / float64(n.pages)
	err := n.samplesOf(ctx, n.sql.sample, []any{last, float32(100 * part)}, func(p place, s share, oldest time.Time, pages int) {
		s.jobs /= part
		if len(n.known) == 0 || n.known[len(n.known)-1] != p.queue {
			n.known = append(n.known, p.queue)
		}
		n.sampled(p).note(s, oldest)
		n.sampled(p).pages = max(n.sampled(p).pages, pages)
	})
	if err != nil || n.version < readsRanges {
		return err
	}
	return n.samplesOf(ctx, n.sql.tail, []any{last}, func(p place, s share, oldest time.Time, _ int) {
		n.sampled(p).note(s, oldest)
	})
}

func (n *counting) sampled(p place) *sample {
	if n.samples[p] == nil {
		n.samples[p] = new(sample)
	}
	return n.samples[p]
}

func (s *sample) note(x share, oldest time.Time) {
	s.add(x)
	if s.oldest.IsZero() || oldest.Before(s.oldest) {
		s.oldest = oldest
	}
}

func (n *counting) samplesOf(
	ctx context.Context, sql string, args []any, each func(p place, s share, oldest time.Time, pages int),
) error {
	return pgxDB{n.tx}.query(ctx, sql, args, func(scan func(...any) error) error {
		var p place
		var s share
		var jobs int64
		var pages int
		var oldest time.Time
		if err := scan(&p.state, &p.queue, &s.again, &s.later, &jobs, &pages, &oldest); err != nil {
			return err
		}
		s.jobs = float64(jobs)
		each(p, s, oldest, pages)
		return nil
	})
}

// tally puts together what was counted and what is estimated.
func (n *counting) tally() tally {
	t := tally{}
	for p, c := range n.found {
		s := c.sample(n.marked[p])
		if !c.more && !n.openMarks[p.state] {
			t.add(p, s, false)
			continue
		}
		if x := n.samples[p]; x != nil && x.jobs > s.jobs {
			s = x
		}
		t.add(p, s, true)
	}
	for p, s := range n.samples {
		if n.found[p] == nil && (s.sure() || n.open[p.state]) {
			t.add(p, s, true)
		}
	}
	return t
}

// counted is what an index says of a place: how many jobs there are, and how many of
// these are ahead of their time.
type counted struct {
	jobs, ahead float64
	oldest      time.Time
	more        bool // not all were counted
}

// marked is how many jobs of a place, which were counted with it, have the same mark.
type marked struct {
	share
	ahead bool
}

// sample tells the jobs of a place apart.
func (c *counted) sample(marks []marked) *sample {
	s, ahead := new(sample), c.ahead
	due := c.jobs - ahead
	for _, m := range marks {
		if s.add(m.share); m.ahead && ahead >= m.jobs {
			ahead -= m.jobs
		} else {
			due = max(0, due-m.jobs)
		}
	}
	s.add(share{jobs: due})
	s.add(share{later: true, jobs: ahead})
	return s
}

// tally adds up the counts, by queue and state of ours.
type tally map[tallied]*engine.Count

type tallied struct {
	queue string
	state engine.State
}

func (t tally) add(p place, s *sample, estimated bool) {
	for _, x := range s.shares {
		j, own := job{state: p.state, overdue: !x.later}, envelope{Again: x.again}
		if p.state == riverPending && x.later { // nothing pending is due later
			own.Waits = -1
		}
		at := tallied{p.queue, j.publicState(&own)}
		if t[at] == nil {
			t[at] = &engine.Count{Queue: at.queue, State: at.state}
		}
		t[at].Tasks += int64(x.jobs)
		t[at].Estimated = t[at].Estimated || estimated
	}
}

func (t tally) counts() []engine.Count {
	counts := make([]engine.Count, 0, len(t))
	for _, c := range t {
		if c.Tasks > 0 {
			counts = append(counts, *c)
		}
	}
	return counts
}

// older notes since when a task of the queue has been due.
func (t tally) older(queue string, at time.Time) {
	c := t[tallied{queue, engine.StatePending}]
	if c != nil && !at.IsZero() && (c.Oldest.IsZero() || at.Before(c.Oldest)) {
		c.Oldest = at.UTC()
	}
}

// oldestQueues is of how many queues with estimates the oldest waiting task is looked for.
const oldestQueues = 100

// oldest finds since when the oldest pending task of each queue has been due.
func (n *counting) oldest(ctx context.Context, t tally) error {
	var look []string
	for p, c := range n.found {
		if p.state != riverAvailable {
			continue
		}
		if t.older(p.queue, c.oldest); c.more && len(look) < oldestQueues {
			look = append(look, p.queue)
		}
	}
	for p, s := range n.samples {
		if p.state == riverAvailable && n.found[p] == nil && t[tallied{p.queue, engine.StatePending}] != nil {
			t.older(p.queue, s.oldest)
			if len(look) < oldestQueues {
				look = append(look, p.queue)
			}
		}
	}
	var asks []ask
	at := func(queue *string, due *time.Time, into ...any) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, into, func() error { t.older(*queue, *due); return nil })
			return err
		}
	}
	for _, queue := range look {
		for _, priority := range priorities {
			due := new(time.Time)
			asks = append(asks, ask{nextSlice, n.sql.oldest, []any{queue, priority}, at(&queue, due, due)})
		}
	}
	queue, due := new(string), new(time.Time)
	asks = append(asks, ask{endedSlice, n.sql.oldestAside, nil, at(queue, due, queue, due)})
	for len(asks) > 0 && n.blocked < mostBlocked {
		done, err := n.send(ctx, asks)
		if err != nil {
			return err
		}
		if done < len(asks) { // it is left out
			n.blocked++
			done++
		}
		asks = asks[done:]
	}
	return nil
}
