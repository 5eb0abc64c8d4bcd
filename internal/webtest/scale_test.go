package webtest_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/cputime"
	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
)

var (
	scale        = flag.Int("webscale", 0, "how many tasks there are while pages are timed; 0 leaves it out")
	scaleEngines = flag.String("webscaleengines", "memory,sqlite,postgres,redis", "on which engines")
)

// TestScale prints how long each page takes at the server, on each engine, with
// very many tasks: a third of them wait, and of the others one in a hundred has
// failed.
func TestScale(t *testing.T) {
	if *scale == 0 {
		t.Skip("make web-scale")
	}
	for name := range strings.SplitSeq(*scaleEngines, ",") {
		t.Run(name, func(t *testing.T) { scalePages(t, name) })
	}
}

// scaleURL is that of an empty engine.
func scaleURL(t *testing.T, name string) string {
	t.Helper()
	switch name {
	case "sqlite":
		return "sqlite:" + t.TempDir() + "/tasks.db"
	case "postgres":
		return servertest.Postgres(t)
	case "redis":
		url, named := servertest.Redis(t)
		if named {
			t.Skip("the server is not the tests' own")
		}
		return url
	}
	return "memory:"
}

func scalePages(t *testing.T, name string) {
	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	var e engine.Engine = memory.New(memory.Config{Capacity: *scale, Records: *scale})
	if name != "memory" {
		var err error
		e, err = engines.Open(t.Context(), scaleURL(t, name))
		require.NoError(t, err)
	}
	shop := webtest.NewWith(e, runtime.Config{
		Workers: 50, Logger: silent, SkipUnsupported: true, Queues: []string{"mail", "billing", "reports"}, ShutdownTimeout: time.Second,
	})
	require.NoError(t, shop.Start(t.Context()))
	t.Cleanup(func() {
		shop.Done()
		require.NoError(t, shop.Stop(context.Background()))
		require.NoError(t, e.Close())
	})
	fillScale(t, shop)
	failed, _, err := shop.List(t.Context(), engine.Query{States: []engine.State{engine.StateFailed}, Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, failed)
	h := web.Handler(shop.App, web.Config{Logger: silent})
	t.Logf("| page, %d tasks on %s | median | worst of 9 | processor time here |", *scale, name)
	for _, path := range []string{
		"/", "/tasks", "/tasks?state=failed", "/tasks?name=mail.Send&state=succeeded", "/tasks?reason=550", "/tasks/" + failed[0].ID.String(),
		"/failed", "/queues", "/workers", "/schedules", "/limits", "/history", "/graph", "/enqueue?name=mail.Send",
		"/confirm?do=retry&state=failed", "/confirm?do=cancel&queue=archive", "/confirm?do=delete&state=succeeded", "/api/tasks?limit=100",
	} {
		var times []time.Duration
		used := cputime.Used()
		for range 9 {
			w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
			began := time.Now()
			h.ServeHTTP(w, r)
			times = append(times, time.Since(began))
			require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
		}
		slices.Sort(times)
		t.Logf("| %s | %s | %s | %s |", strings.Replace(path, failed[0].ID.String(), "ID", 1), round(times[4]), round(times[8]),
			round((cputime.Used()-used)/9))
	}
}

func round(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// fillScale enqueues the tasks, and waits until those that run have ended.
func fillScale(t *testing.T, shop *webtest.Shop) {
	t.Helper()
	const lot = 2000
	for from := 0; from < *scale; from += lot {
		var b runtime.Batch
		for i := from; i < min(from+lot, *scale); i++ {
			switch {
			case i%3 == 0:
				runtime.AddTo(&b, webtest.Mail("nobody@example.com", "s", "", runtime.WithQueue("archive")))
			case i%100 == 1:
				runtime.AddTo(&b, webtest.Mail(fmt.Sprintf("gone%d@example.com", i), "s", ""))
			default:
				runtime.AddTo(&b, webtest.Mail("ann@example.com", "s", ""))
			}
		}
		require.NoError(t, b.Enqueue(t.Context(), shop))
		for { // memory has room for so many
			waits := int64(0)
			counts, err := shop.Counts(t.Context())
			require.NoError(t, err)
			for _, c := range counts {
				if c.Queue == "mail" && (c.State == engine.StatePending || c.State == engine.StateRunning) {
					waits += c.Tasks
				}
			}
			if waits < 10*lot && (from+lot < *scale || waits == 0) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}
