package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"math/bits"
	"strconv"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// historyQueues bounds the queues that a process counts by themselves.
	historyQueues = 100
	// historyEvery is how often a process hands over what it has counted, and
	// historyTimeout bounds that.
	historyEvery   = time.Minute
	historyTimeout = 10 * time.Second
	// historyHeld bounds the minutes that wait to be handed over while the store
	// does not answer.
	historyHeld = 15
)

// outcomes are counted by their place in it.
var historyOutcomes = [...]string{engine.HistorySucceeded, engine.HistoryFailed, engine.HistoryCancelled, engine.HistoryRetried}

type outcomeCounts [len(historyOutcomes)]int64

// minuteCounts are what is counted in one minute.
type minuteCounts struct {
	at          time.Time
	all         outcomeCounts
	queues      map[string]*outcomeCounts
	ran, waited [engine.HistoryLengths]int64
}

// history counts what becomes of tasks, for one start of an app.
type history struct {
	to engine.Historian

	mu      sync.Mutex // guards all below
	minutes []*minuteCounts
	queues  map[string]struct{} // that are counted by themselves
}

// newHistory returns what counts, nil if the app does not.
func (a *App) newHistory() (*history, error) {
	if !a.cfg.History {
		return nil, nil
	}
	to, ok := engine.As[engine.Historian](a.engine)
	if !ok {
		if a.engine == nil {
			return nil, nil // that is an error already
		}
		if a.cfg.SkipUnsupported {
			a.log(slog.LevelWarn, "the engine keeps no history: Config.History does nothing")
			return nil, nil
		}
		return nil, fmt.Errorf("Config.History: %w", ErrUnsupported)
	}
	return &history{to: to, queues: make(map[string]struct{})}, nil
}

// count counts the end of a run that began at a time.
func (h *history) count(d *engine.Delivery, k engine.OutcomeKind, began time.Time) {
	var i int
	switch k {
	case engine.OutcomeSucceed:
		i = 0
	case engine.OutcomeFail:
		i = 1
	case engine.OutcomeCancel:
		i = 2
	case engine.OutcomeRetry:
		i = 3
	default:
		return // it has not ended
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.minute(now)
	m.all[i]++
	m.ran[timeClass(now.Sub(began))]++
	if d.Attempt == 0 {
		m.waited[timeClass(began.Sub(dueSince(d.Message)))]++
	}
	if c := h.queue(m, d.Message.Queue); c != nil {
		c[i]++
	}
}

// minute returns the counts of the present minute.
func (h *history) minute(now time.Time) *minuteCounts {
	at := now.Truncate(time.Minute).UTC()
	if n := len(h.minutes); n > 0 && h.minutes[n-1].at.Equal(at) {
		return h.minutes[n-1]
	}
	m := &minuteCounts{at: at, queues: make(map[string]*outcomeCounts)}
	if len(h.minutes) == historyHeld {
		h.minutes = append(h.minutes[:0], h.minutes[1:]...)
	}
	h.minutes = append(h.minutes, m)
	return m
}

// queue returns the counts of a queue, nil if there are too many queues.
func (h *history) queue(m *minuteCounts, name string) *outcomeCounts {
	if c := m.queues[name]; c != nil {
		return c
	}
	if _, known := h.queues[name]; !known {
		if len(h.queues) == historyQueues {
			return nil
		}
		h.queues[name] = struct{}{}
	}
	c := new(outcomeCounts)
	m.queues[name] = c
	return c
}

// timeClass is the power of two of milliseconds that a time is at most.
func timeClass(d time.Duration) int {
	return min(bits.Len64(uint64((max(d, 1)-1)/time.Millisecond)), engine.HistoryLengths-1)
}

// flush hands over what was counted. What could not be handed over is kept for the
// next time; if only the answer was lost, it is counted twice.
func (h *history) flush(ctx context.Context) error {
	h.mu.Lock()
	minutes := h.minutes
	h.minutes = nil
	h.mu.Unlock()
	if len(minutes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	err := h.to.AddHistory(ctx, tallies(minutes))
	if err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		all := append(minutes, h.minutes...)
		h.minutes = all[max(len(all)-historyHeld, 0):]
	}
	return err
}

// tallies are what was counted in each step of the history: minutes with their
// times, hours and days with their queues.
func tallies(minutes []*minuteCounts) []engine.Tally {
	sums := make(map[engine.Tally]int64)
	add := func(step time.Duration, at time.Time, queue, kind string, n int64) {
		if n > 0 {
			sums[engine.Tally{Step: step, At: at.Truncate(step), Queue: queue, Kind: kind}] += n
		}
	}
	for _, m := range minutes {
		for _, step := range engine.HistorySteps() {
			for i, kind := range historyOutcomes {
				add(step, m.at, "", kind, m.all[i])
				if step == time.Minute {
					continue
				}
				for queue, c := range m.queues {
					add(step, m.at, queue, kind, c[i])
				}
			}
			for i := range engine.HistoryLengths {
				add(step, m.at, "", engine.HistoryRan+"."+strconv.Itoa(i), m.ran[i])
				add(step, m.at, "", engine.HistoryWaited+"."+strconv.Itoa(i), m.waited[i])
			}
		}
	}
	ts := make([]engine.Tally, 0, len(sums))
	for t, n := range sums {
		t.Tasks = n
		ts = append(ts, t)
	}
	return ts
}

// startHistory hands over what is counted, every minute until ctx ends. The caller
// waits for it, and flushes for the last time.
func (a *App) startHistory(ctx context.Context, h *history) *sync.WaitGroup {
	var wg sync.WaitGroup
	if h == nil {
		return &wg
	}
	wg.Go(func() {
		t := time.NewTicker(historyEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if err := h.flush(ctx); err != nil && ctx.Err() == nil {
				a.log(slog.LevelWarn, "the history could not be written", slog.String("error", err.Error()))
			}
		}
	})
	return &wg
}

// endHistory hands over the rest of what was counted, while a stop waits.
func (a *App) endHistory(s *service, h *history) {
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownGrace)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-s.leave:
			cancel()
		case <-ctx.Done():
		}
	})
	defer watching.Wait()
	defer cancel()
	if err := h.flush(ctx); err != nil {
		a.log(slog.LevelWarn, "the history could not be written", slog.String("error", err.Error()))
	}
}

// History returns what workers with Config.History have counted, in any order. An
// engine that keeps no history is [ErrUnsupported].
func (a *App) History(ctx context.Context, q engine.HistoryQuery) ([]engine.Tally, error) {
	if a.engine == nil {
		return nil, fmt.Errorf("history: %w", errNoEngine)
	}
	h, ok := engine.As[engine.Historian](a.engine)
	if !ok {
		return nil, fmt.Errorf("history: %w", ErrUnsupported)
	}
	if engine.HistoryKept(q.Step) == 0 {
		return nil, fmt.Errorf("history: the step is %s, want one of %v", q.Step, engine.HistorySteps())
	}
	ts, err := h.History(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return ts, nil
}
