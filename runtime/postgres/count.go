package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// countPlaces is how many pairs of a state and a queue are counted.
	countPlaces = 10_000
	// countLot is how many of them a statement counts, and maxEntries how many
	// index entries all statements read, more or less, before estimates do.
	countLot   = 200
	maxEntries = 100_000
	// samplePages is how many pages of a large table are read for an estimate.
	samplePages = 100
	// sureFactor is how many times engine.ExactCounts a sample must show, and
	// surePages on how many pages it must have seen such jobs, to be believed
	// without counting.
	sureFactor = 3
	surePages  = 25
)

// place is a state of River's in a queue.
type place struct{ state, queue string }

// share is how many jobs of a place are alike.
type share struct {
	again, later bool
	jobs         float64
}

// sample is a sample's result for a place.
type sample struct {
	shares []share
	jobs   float64
	pages  int
}

// Counts implements [engine.Counter]. If a state of River's has more than
// [engine.ExactCounts] jobs in a queue, it returns an estimate from some pages
// of the table.
func (e *Engine) Counts(ctx context.Context) ([]engine.Count, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	counts, err := e.count(ctx)
	if err != nil {
		return nil, e.failed("count tasks", err)
	}
	return counts, nil
}

func (e *Engine) count(ctx context.Context) ([]engine.Count, error) {
	t := tally{}
	samples, most, err := e.sample(ctx)
	if err != nil {
		return nil, err
	}
	var places []place
	err = e.steered(ctx, e.sql.places, []any{countPlaces}, func(scan func(...any) error) error {
		var p place
		if err := scan(&p.state, &p.queue); err != nil {
			return err
		}
		if s := samples[p]; s != nil && s.jobs >= sureFactor*engine.ExactCounts && s.pages >= surePages {
			t.estimate(p, s)
		} else {
			places = append(places, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	left := maxEntries
	for lot := range slices.Chunk(places, countLot) {
		if left <= 0 {
			for _, p := range lot {
				if s := samples[p]; s != nil {
					t.estimate(p, s)
				}
			}
			continue
		}
		read, err := e.countExactly(ctx, t, lot, samples, most)
		if err != nil {
			return nil, err
		}
		left -= read
	}
	if err := e.addOldest(ctx, t); err != nil {
		return nil, err
	}
	return t.counts(), nil
}

// countExactly counts jobs of the places, and estimates those with more than most.
// It returns how many index entries it has read.
func (e *Engine) countExactly(
	ctx context.Context, t tally, places []place, samples map[place]*sample, most int,
) (read int, err error) {
	states, queues := make([]string, len(places)), make([]string, len(places))
	for i, p := range places {
		states[i], queues[i] = p.state, p.queue
	}
	args := []any{states, queues, most + 1}
	counted := make(map[place]*counted, len(places))
	b := steered()
	b.Queue(e.sql.count, args...).Query(func(rows pgx.Rows) error {
		var p place
		var n, ahead int
		_, err := pgx.ForEachRow(rows, []any{&p.state, &p.queue, &n, &ahead}, func() error {
			counted[p] = newCounted(p, n, ahead)
			read += n
			return nil
		})
		return err
	})
	b.Queue(e.sql.countMarked, args...).Query(func(rows pgx.Rows) error {
		var p place
		var again, later, ahead bool
		var n int
		_, err := pgx.ForEachRow(rows, []any{&p.state, &p.queue, &again, &later, &ahead, &n}, func() error {
			counted[p].mark(share{again, later, float64(n)}, ahead)
			read += n
			return nil
		})
		return err
	})
	if err := e.send(ctx, callTimeout, b); err != nil {
		return 0, err
	}
	for p, c := range counted {
		s := c.sample()
		if c.n <= most {
			t.exact(p, s)
			continue
		}
		if x := samples[p]; x != nil && x.jobs > s.jobs {
			s = x
		}
		t.estimate(p, s)
	}
	return read, nil
}

// counted is what indexes say of a place: how many jobs there are, and those of
// them whose metadata decide.
type counted struct {
	n          int
	due, ahead float64 // without a mark
	marked     []share
}

func newCounted(p place, n, ahead int) *counted {
	if p.state != riverScheduled { // only there a time has a meaning
		ahead = 0
	}
	return &counted{n: n, due: float64(n - ahead), ahead: float64(ahead)}
}

// mark notes jobs with a mark, which were counted before.
func (c *counted) mark(s share, ahead bool) {
	c.marked = append(c.marked, s)
	if ahead && c.ahead >= s.jobs {
		c.ahead -= s.jobs
	} else {
		c.due = max(0, c.due-s.jobs)
	}
}

func (c *counted) sample() *sample {
	s := new(sample)
	for _, x := range append(c.marked, share{jobs: c.due}, share{later: true, jobs: c.ahead}) {
		s.add(x)
	}
	return s
}

func (s *sample) add(x share) {
	s.shares = append(s.shares, x)
	s.jobs += x.jobs
}

// sample reads some pages of a large table. It returns their estimates of the
// whole, and up to how many jobs of a place are to be counted.
func (e *Engine) sample(ctx context.Context) (map[place]*sample, int, error) {
	var pages int64
	if err := e.row(ctx, e.sql.pages, nil, &pages); err != nil {
		return nil, 0, err
	}
	if pages <= 2*samplePages {
		return nil, 4 * engine.ExactCounts, nil
	}
	part := float64(samplePages) / float64(pages)
	samples := make(map[place]*sample)
	err := e.query(ctx, e.sql.sample, []any{float32(100 * part)}, func(scan func(...any) error) error {
		var p place
		var s share
		var jobs int64
		var on int
		if err := scan(&p.state, &p.queue, &s.again, &s.later, &jobs, &on); err != nil {
			return err
		}
		s.jobs = float64(jobs) / part
		if samples[p] == nil {
			samples[p] = new(sample)
		}
		samples[p].add(s)
		samples[p].pages = max(samples[p].pages, on)
		return nil
	})
	return samples, engine.ExactCounts, err
}

// tally adds up the counts, by queue and state of ours.
type tally map[tallied]*engine.Count

type tallied struct {
	queue string
	state engine.State
}

func (t tally) exact(p place, s *sample) { t.add(p, s, false) }

func (t tally) estimate(p place, s *sample) { t.add(p, s, true) }

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
		if c.Tasks == 0 {
			continue
		}
		counts = append(counts, *c)
	}
	return counts
}
