package postgres

import (
	"context"

	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// countPlaces is how many pairs of a state and a queue are counted.
	countPlaces = 10_000
	// samplePages is how many pages of a large table are read for an estimate.
	samplePages = 300
	// sureFactor is how many times engine.ExactCounts a sample must show, and
	// surePages on how many pages it must have seen such jobs, to be believed
	// without counting.
	sureFactor = 3
	surePages  = 30
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
	var waiting, others []place
	err = e.steered(ctx, e.sql.places, []any{countPlaces}, func(scan func(...any) error) error {
		var p place
		if err := scan(&p.state, &p.queue); err != nil {
			return err
		}
		s := samples[p]
		switch {
		case s != nil && s.jobs >= sureFactor*engine.ExactCounts && s.pages >= surePages:
			t.estimate(p, s)
		case p.state == riverAvailable || p.state == riverPending || p.state == riverScheduled:
			waiting = append(waiting, p)
		default:
			others = append(others, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for text, places := range map[string][]place{e.sql.countWaiting: waiting, e.sql.countOthers: others} {
		if err := e.countExactly(ctx, t, text, places, samples, most); err != nil {
			return nil, err
		}
	}
	if err := e.addOldest(ctx, t); err != nil {
		return nil, err
	}
	return t.counts(), nil
}

// countExactly counts jobs of the places, and estimates those with more than most.
func (e *Engine) countExactly(
	ctx context.Context, t tally, text string, places []place, samples map[place]*sample, most int,
) error {
	if len(places) == 0 {
		return nil
	}
	states, queues := make([]string, len(places)), make([]string, len(places))
	for i, p := range places {
		states[i], queues[i] = p.state, p.queue
	}
	counted := make(map[place]*sample, len(places))
	err := e.steered(ctx, text, []any{states, queues, most + 1}, func(scan func(...any) error) error {
		var p place
		var s share
		var n int64
		if err := scan(&p.state, &p.queue, &s.again, &s.later, &n); err != nil {
			return err
		}
		s.jobs = float64(n)
		if counted[p] == nil {
			counted[p] = new(sample)
		}
		counted[p].add(s)
		return nil
	})
	if err != nil {
		return err
	}
	for p, c := range counted {
		if int(c.jobs) <= most {
			t.exact(p, c)
			continue
		}
		if s := samples[p]; s != nil && s.jobs > c.jobs {
			c = s
		}
		t.estimate(p, c)
	}
	return nil
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
