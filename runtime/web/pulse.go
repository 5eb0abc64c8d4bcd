package web

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// snapshot is the engine's counts, workers and pauses at one moment, shared by all pages.
type snapshot struct {
	at      time.Time
	counts  []engine.Count
	workers []engine.WorkerInfo
	known   bool // the engine knows its workers
	paused  []engine.Pause
	pauses  bool   // the engine can pause
	version uint64 // changes when something else does

	// What only some pages show is read when one does.
	failed, retrying lazy[causesOut]
	running          lazy[[]*runtime.Record]
}

const (
	// pulseAge is how old a snapshot may be. One that costs the engine more, with
	// what pages have added to it, is used for pulseShare times as long as it took.
	pulseAge   = time.Second
	pulseShare = 50
)

// pulse reads snapshots, one at a time, however many ask for one.
type pulse struct {
	shared  // its mu guards all below
	last    *snapshot
	until   time.Time     // last is used up to then
	took    time.Duration // to read last
	changes int           // how often something was changed by a page
	streams int           // live pages
	turn    time.Time     // when the next live page may be told to read itself anew
	cost    time.Duration // of a page, smoothed
}

// snapshot returns one that is not too old.
func (h *handler) snapshot(ctx context.Context) (s *snapshot, err error) {
	p := &h.pulse
	err = p.get(ctx, func() bool {
		s = p.last
		return s != nil && time.Now().Before(p.until)
	}, func() (err error) {
		s, err = h.readSnapshot(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readSnapshot reads the snapshot that others wait for, too. If something was changed
// meanwhile, they read one of their own.
func (h *handler) readSnapshot(ctx context.Context) (*snapshot, error) {
	p := &h.pulse
	p.mu.Lock()
	changes := p.changes
	p.mu.Unlock()
	began := time.Now()
	s, err := h.look(ctx)
	took := time.Since(began)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.version = 1
	if p.last != nil {
		s.version = p.last.version
		if !s.same(p.last) {
			s.version++
		}
	}
	if p.last, p.took = s, 0; p.changes == changes {
		p.use(took)
	}
	return s, nil
}

// use lets the last snapshot, which took so much more, be used for a time.
func (p *pulse) use(took time.Duration) {
	p.took += took
	p.until = p.last.at.Add(max(pulseAge, pulseShare*p.took))
}

// added adds the time of a later read for a snapshot to its cost.
func (p *pulse) added(s *snapshot, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == s && !p.until.IsZero() { // else something was changed
		p.use(took)
	}
}

// look asks the engine.
func (h *handler) look(ctx context.Context) (*snapshot, error) {
	counts, err := h.app.Counts(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{at: time.Now(), counts: counts}
	s.paused, err = h.app.Paused(ctx)
	if s.pauses = err == nil; err != nil && !isUnsupported(err) {
		return nil, err
	}
	s.workers, err = h.app.Workers(ctx)
	switch {
	case isUnsupported(err):
		return s, nil
	case err != nil:
		return nil, err
	}
	s.known = true
	slices.SortFunc(s.workers, func(x, y engine.WorkerInfo) int {
		return cmp.Or(x.StartedAt.Compare(y.StartedAt), cmp.Compare(x.ID, y.ID))
	})
	return s, nil
}

// same reports whether a page would show the same for both, but for times.
func (s *snapshot) same(o *snapshot) bool {
	return reflect.DeepEqual(s.counts, o.counts) && reflect.DeepEqual(s.paused, o.paused) &&
		slices.EqualFunc(s.workers, o.workers, func(x, y engine.WorkerInfo) bool {
			return x.ID == y.ID && x.Running == y.Running
		})
}

// stale lets the next page read a snapshot of its own: something was changed.
func (h *handler) stale() {
	h.pulse.mu.Lock()
	defer h.pulse.mu.Unlock()
	h.pulse.until = time.Time{}
	h.pulse.changes++
}

// total is how many tasks there are in a state, and whether that is a guess.
func (s *snapshot) total(state engine.State) (tasks int64, estimated bool) {
	for _, c := range s.counts {
		if c.State == state {
			tasks += c.Tasks
			estimated = estimated || c.Estimated
		}
	}
	return tasks, estimated
}

func isUnsupported(err error) bool { return errors.Is(err, runtime.ErrUnsupported) }

const (
	// liveShare bounds the time that live pages take: a page that took d to make
	// is followed by the next no sooner than liveShare times d.
	liveShare = 40
	minTurn   = 25 * time.Millisecond
	maxTurn   = 5 * time.Second
	// perStream is how much longer all live pages wait between two looks at their
	// tasks, for each of them.
	perStream = 50 * time.Millisecond
)

// open counts one more live page. The caller calls close at its end.
func (p *pulse) open() (close func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.streams--
	}
}

// interval is how long a live page waits between two looks.
func (p *pulse) interval() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(pulseAge, time.Duration(p.streams)*perStream)
}

// mayTurn reports whether a live page may be told now that it has changed.
func (p *pulse) mayTurn(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.turn) {
		return false
	}
	p.turn = now.Add(min(max(liveShare*p.cost, minTurn), maxTurn))
	return true
}

// spent adds the time that a page took to the smoothed cost of pages.
func (p *pulse) spent(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cost += (d - p.cost) / 8
}
