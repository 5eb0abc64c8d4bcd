package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
)

// slow is an engine that takes a while for what dashboards ask, and adds it up.
type slow struct {
	*memory.Engine
	took atomic.Int64
}

func (e *slow) work(d time.Duration) {
	time.Sleep(d)
	e.took.Add(int64(d))
}

func (e *slow) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	e.work(5 * time.Millisecond)
	return e.Engine.List(ctx, q)
}

func (e *slow) Counts(ctx context.Context) ([]engine.Count, error) {
	e.work(5 * time.Millisecond)
	return e.Engine.Counts(ctx)
}

// follower is a live page: it reads itself anew whenever it is told to.
type follower struct {
	http.ResponseWriter
	h      http.Handler
	ctx    context.Context
	path   string
	told   atomic.Int64
	lastID string
}

func (f *follower) Write(b []byte) (int, error) {
	text := string(b)
	if _, rest, ok := strings.Cut(text, "id: "); ok {
		f.lastID, _, _ = strings.Cut(rest, "\n")
	}
	if strings.Contains(text, "event: change") {
		f.told.Add(1)
		f.h.ServeHTTP(httptest.NewRecorder(), request(f.ctx, f.path, ""))
	}
	return len(b), nil
}

// Flush makes it a writer that events can be sent to.
func (f *follower) Flush() {}

func request(ctx context.Context, path, lastID string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	return r
}

// A hundred live pages, while something changes all the time, take less than a
// twentieth of the engine's time, and each of them is told.
//
// Proves: RELIABILITY 40
func TestEvents_AHundredPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slow{Engine: memory.New(memory.Config{})}
		app := runtime.New(e, runtime.Config{Logger: silent})
		h := web.Handler(app, web.Config{Logger: silent})
		const pages, lasts = 100, 4 * time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		var wg sync.WaitGroup
		followers := make([]*follower, pages)
		for i := range followers {
			f := &follower{ResponseWriter: httptest.NewRecorder(), h: h, ctx: ctx, path: []string{"/", "/tasks", "/failed", "/queues"}[i%4]}
			followers[i] = f
			wg.Go(func() {
				for ctx.Err() == nil { // as a browser asks again
					h.ServeHTTP(f, request(ctx, "/events", f.lastID))
				}
			})
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := webtest.Mail("ann@example.com", "s", "").Enqueue(context.Background(), app)
				require.NoError(t, err)
				time.Sleep(200 * time.Millisecond)
			}
		})
		wg.Wait()
		share := float64(e.took.Load()) / float64(lasts)
		assert.Less(t, share, 0.05, "of the engine's time")
		least := int64(1 << 62)
		for _, f := range followers {
			least = min(least, f.told.Load())
		}
		assert.GreaterOrEqual(t, least, int64(1), "a page that was never told")
		t.Logf("%d live pages for %s: %.1f %% of the engine's time, each told %d times at least", pages, lasts, 100*share, least)
		require.NoError(t, e.Close())
	})
}
