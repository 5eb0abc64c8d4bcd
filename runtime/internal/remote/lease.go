package remote

import (
	"context"
	"log/slog"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// A worker shows that it lives by changing its beat on the server. Its peers
// measure on their own clocks how long that beat stands still: so no step of a
// clock, here or on the server, takes a task from a worker that lives.

// beatsPerLease is how often in a lease a worker beats and looks at its peers.
const beatsPerLease = 5

// peers are the other workers, as this one has seen them. Only its heartbeat
// uses them.
type peers struct {
	seen map[string]peer // by the worker's id
	last time.Time       // of the last look
}

// peer is another worker, as this one has seen it.
type peer struct {
	beat  string
	since time.Time // when the beat was first seen
}

// reviewRests is from one review that was asked for to the next: whoever may write to
// the server can ask as often as he likes.
const reviewRests = 20 * time.Millisecond

// beatLoop beats, reviews the running tasks, and takes over from lost workers.
func (w *Worker[C, T]) beatLoop(ctx context.Context) {
	interval := w.cfg.Lease / beatsPerLease
	beat := time.NewTicker(interval)
	defer beat.Stop()
	again := time.NewTimer(0)
	again.Stop()
	w.peers.seen = make(map[string]peer)
	check := w.check // nil for a moment after each
	rested := time.NewTimer(0)
	rested.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, max(w.cfg.Lease, time.Second))
		select {
		case <-beat.C:
			if err := w.beat(limited); err != nil && ctx.Err() == nil {
				w.Warn("heartbeat", err)
			}
		case <-check:
			check = nil
			rested.Reset(reviewRests)
			if _, err := w.review(limited); err == nil && w.mayHaveMissed() {
				again.Reset(interval / 10)
			}
		case <-rested.C:
			check = w.check
		case <-again.C:
			w.Check()
		case <-ctx.Done():
			cancel()
			return
		}
		cancel()
	}
}

// beat is one round of the heartbeat.
func (w *Worker[C, T]) beat(ctx context.Context) error {
	if err := w.store.Join(ctx); err != nil {
		return err
	}
	others, err := w.review(ctx)
	if err != nil {
		return err
	}
	present, err := w.store.Beats(ctx, others)
	if err != nil {
		return err
	}
	// The bound is half a beat less than the lease, so that a look a moment
	// early need not wait for the next one. A worker thus has a lease since
	// its last beat, and at most one beat more.
	for _, id := range w.peers.lost(present, time.Now(), w.cfg.Lease-w.cfg.Lease/beatsPerLease/2, w.cfg.Lease/2) {
		if err := w.takeOver(ctx, id, present[id], others[id]); err != nil {
			return err
		}
		delete(w.peers.seen, id)
	}
	return nil
}

// lost notes the beats of the peers present, and returns the ids of those whose
// beat has stood still for the lease. After a gap between two looks it starts
// anew: this process was paused, or the server away.
func (p *peers) lost(present map[string]string, now time.Time, lease, gap time.Duration) (ids []string) {
	if now.Sub(p.last) > gap {
		clear(p.seen)
	}
	p.last = now
	for id, beat := range present {
		if old, ok := p.seen[id]; !ok || old.beat != beat {
			p.seen[id] = peer{beat, now}
		}
	}
	for id, was := range p.seen {
		if _, ok := present[id]; !ok {
			delete(p.seen, id)
		} else if now.Sub(was.since) >= lease {
			ids = append(ids, id)
		}
	}
	return ids
}

// takeOver makes the tasks of a lost worker available to others.
func (w *Worker[C, T]) takeOver(ctx context.Context, worker, beat string, claims []C) error {
	tasks, lost, err := w.store.TakeOver(ctx, worker, beat, claims)
	if err != nil {
		return err
	}
	if lost {
		w.Log(slog.LevelWarn, "a worker is gone; its tasks run again", slog.String("lost", worker), slog.Int("tasks", tasks))
	}
	w.News()
	return nil
}

// mayHaveMissed reports whether a cancelled task without a run here may just
// have been claimed, so that its run does not know yet.
func (w *Worker[C, T]) mayHaveMissed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unsettled
}

// review compares the runs of this worker with the server's list. A run that
// is not listed has lost its lease; a cancelled one is stopped. A task listed
// as ours that no run here holds may be an orphan; the next step decides,
// since it knows all claims. review returns the tasks of peers.
func (w *Worker[C, T]) review(ctx context.Context) (others map[string][]C, err error) {
	w.mu.Lock()
	before := make(map[*Delivery[C, T]]struct{}, len(w.active))
	for d := range w.active {
		before[d] = struct{}{}
	}
	w.mu.Unlock()
	running, err := w.store.Running(ctx)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.active {
		cancel, ok := running.Mine[d.Claim]
		_, old := before[d]
		switch {
		case ok && cancel.Cancelled:
			d.Stop(engine.CancelCause(cancel.Reason))
		case !ok && old && !d.concluded.Load():
			d.Stop(engine.ErrLeaseLost)
		}
	}
	known := w.known(w.outcomes)
	w.orphans, w.unsettled = nil, false
	for c, cancel := range running.Mine {
		if _, ok := known[c]; !ok {
			w.orphans = append(w.orphans, c)
			w.unsettled = w.unsettled || cancel.Cancelled
		}
	}
	if len(w.orphans) > 0 {
		signal(w.ready)
	}
	return running.Others, nil
}

// known returns the claims of the tasks that run here, and of the outcomes. It
// is called with the lock held.
func (w *Worker[C, T]) known(outcomes []*Outcome[C, T]) map[C]struct{} {
	known := make(map[C]struct{}, len(w.active)+len(outcomes))
	for d := range w.active {
		known[d.Claim] = struct{}{}
	}
	for _, o := range outcomes {
		known[o.Of.Claim] = struct{}{}
	}
	return known
}
