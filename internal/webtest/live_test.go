package webtest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
)

const (
	livePages  = 100
	liveWindow = 4 * time.Second
	liveRounds = 5
)

// live returns how many tasks a second the workers run when they always have some,
// alone and beside a hundred live pages: medians of windows that take turns.
func (s *scaled) live(t *testing.T) (rates [2]float64) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { s.feed(ctx, t) })
	time.Sleep(liveWindow) // until the backlog is there
	var all [2][]float64
	for range liveRounds {
		for pages := range rates {
			window, end := context.WithCancel(ctx)
			var followers sync.WaitGroup
			for i := range pages * livePages {
				f := &follower{ResponseWriter: httptest.NewRecorder(), h: s.h, ctx: window, path: []string{"/", "/tasks", "/failed", "/queues"}[i%4]}
				followers.Go(f.follow)
			}
			before, began := s.ended.Load(), time.Now()
			time.Sleep(liveWindow)
			all[pages] = append(all[pages], float64(s.ended.Load()-before)/time.Since(began).Seconds())
			end()
			followers.Wait()
		}
	}
	for i := range rates {
		slices.Sort(all[i])
		rates[i] = all[i][liveRounds/2]
	}
	return rates
}

// feed keeps some thousands of tasks waiting, until ctx ends.
func (s *scaled) feed(ctx context.Context, t *testing.T) {
	const lot = 1000
	added := s.ended.Load()
	for ctx.Err() == nil {
		if added-s.ended.Load() > 5*lot {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		var b runtime.Batch
		for range lot {
			runtime.AddTo(&b, webtest.Mail("ann@example.com", "s", ""))
		}
		if err := b.Enqueue(ctx, s.App); err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
		added += lot
	}
}

// follower is a live page: it reads itself anew whenever it is told to.
type follower struct {
	http.ResponseWriter
	h      http.Handler
	ctx    context.Context
	path   string
	lastID string
}

func (f *follower) follow() {
	for f.ctx.Err() == nil { // as a browser asks again
		r := request(f.ctx, "/events")
		if f.lastID != "" {
			r.Header.Set("Last-Event-ID", f.lastID)
		}
		f.h.ServeHTTP(f, r)
	}
}

func (f *follower) Write(b []byte) (int, error) {
	text := string(b)
	if _, rest, ok := strings.Cut(text, "id: "); ok {
		f.lastID, _, _ = strings.Cut(rest, "\n")
	}
	if strings.Contains(text, "event: change") {
		f.h.ServeHTTP(httptest.NewRecorder(), request(f.ctx, f.path))
	}
	return len(b), nil
}

// Flush makes it a writer that events can be sent to.
func (f *follower) Flush() {}
