package remote

import (
	"context"
	"sync"
	"time"
)

// alarm makes the upkeep look for due tasks before its time.
type alarm struct {
	mu   sync.Mutex
	next time.Time // guarded by mu: when to look
	wake chan struct{}
}

// Due makes the upkeep look after d, when a task is due.
func (a *alarm) Due(d time.Duration) {
	at := time.Now().Add(d)
	a.mu.Lock()
	earlier := a.next.IsZero() || at.Before(a.next)
	if earlier {
		a.next = at
	}
	a.mu.Unlock()
	if earlier {
		signal(a.wake)
	}
}

// by makes the upkeep look after d at the latest, and returns how long to wait
// until then.
func (a *alarm) by(d time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := time.Now().Add(d); a.next.IsZero() || at.Before(a.next) {
		a.next = at
	}
	return max(time.Until(a.next), 0)
}

// left returns how long the upkeep is to wait, at most d.
func (a *alarm) left(d time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next.IsZero() {
		return d
	}
	return max(time.Until(a.next), 0)
}

func (a *alarm) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = time.Time{}
}

// upkeepTimeout bounds one round of the upkeep, for a server that accepted a
// request and does not answer.
const upkeepTimeout = 30 * time.Second

// upkeepRests is from one round to the next at least, however often somebody says
// that something is due.
const upkeepRests = 2 * time.Millisecond

// upkeepLoop does the upkeep, at the latest when a task is due.
func (w *Worker[C, T]) upkeepLoop(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	failing := firstPause
	var last time.Time // when a round ended
	for {
		select {
		case <-t.C:
		case <-w.alarm.wake:
			t.Reset(max(w.alarm.left(w.cfg.UpkeepEvery), upkeepRests-time.Since(last)))
			continue
		case <-ctx.Done():
			return
		}
		w.alarm.reset()
		bounded, cancel := context.WithTimeout(ctx, upkeepTimeout)
		next, err := w.store.Upkeep(bounded)
		cancel()
		pause := w.cfg.UpkeepEvery
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.Warn("upkeep", err)
			failing = longer(failing)
			pause = failing
		default:
			failing = firstPause
			if next >= 0 {
				pause = min(pause, next)
			}
		}
		last = time.Now()
		t.Reset(max(w.alarm.by(max(pause, time.Millisecond)), upkeepRests))
	}
}

// listenLoop listens to notifications of other processes, on a connection of
// its own. Without it tasks are found by polling.
func (w *Worker[C, T]) listenLoop(ctx context.Context) {
	for pause := firstPause; ; pause = longer(pause) {
		began := time.Now()
		err := w.store.Listen(ctx)
		w.listening.Store(false)
		if ctx.Err() != nil {
			return
		}
		w.Warn("listen for news; polling meanwhile", err)
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
