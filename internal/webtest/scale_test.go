package webtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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
	scalePage    = flag.String("webscalepage", "", "the page that TestScale writes its tables into")
	scaleWithin  = flag.Duration("webscalewithin", 0, "fail if a page takes longer; 0 is any time")
)

// scaleMark is where the tables begin in the page.
const scaleMark = "<!-- make web-scale writes what follows -->\n"

// TestScale prints how long each page takes at the server, on each engine, with very
// many tasks, and what a hundred live pages cost the engine. A third of the tasks wait,
// of the others one in a hundred has failed; few run, are retried, or belong to a
// schedule or a tree, the oldest and the newest.
func TestScale(t *testing.T) {
	if *scale == 0 {
		t.Skip("make web-scale")
	}
	var names []string
	rows := make(map[string][]string)
	var paths []string
	add := func(path, cell string) {
		if rows[path] == nil {
			paths = append(paths, path)
		}
		rows[path] = append(rows[path], cell)
	}
	for name := range strings.SplitSeq(*scaleEngines, ",") {
		names = append(names, name)
		t.Run(name, func(t *testing.T) { scalePages(t, name, add) })
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %d tasks | %s |\n|---|%s\n", *scale, strings.Join(names, " | "), strings.Repeat("--:|", len(names)))
	for _, path := range paths {
		fmt.Fprintf(&b, "| %s | %s |\n", path, strings.Join(rows[path], " | "))
	}
	t.Log(b.String())
	if *scalePage == "" {
		return
	}
	text, err := os.ReadFile(*scalePage)
	require.NoError(t, err)
	before, _, found := strings.Cut(string(text), scaleMark)
	require.True(t, found)
	require.NoError(t, os.WriteFile(*scalePage, []byte(before+scaleMark+b.String()), 0o644)) // a page of the documentation
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

// scaled is a shop with very many tasks, and its dashboard.
type scaled struct {
	*webtest.Shop
	h, wide      http.Handler  // wide is of a program with many tasks and contexts
	ended        *atomic.Int64 // how many runs have
	failed, root string        // ids
}

func newScaled(t *testing.T, name string) *scaled {
	t.Helper()
	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	var e engine.Engine = memory.New(memory.Config{Capacity: *scale + 100_000, Records: *scale})
	if name != "memory" {
		var err error
		e, err = engines.Open(t.Context(), scaleURL(t, name))
		require.NoError(t, err)
	}
	s := &scaled{ended: new(atomic.Int64)}
	s.Shop = webtest.NewWith(e, runtime.Config{
		Workers: 50, Logger: silent, SkipUnsupported: true, Queues: []string{"mail", "billing", "reports"}, ShutdownTimeout: time.Second,
		Middleware: []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error {
				defer s.ended.Add(1)
				return next(ctx)
			}
		}},
	})
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() {
		s.Done()
		require.NoError(t, s.Stop(context.Background()))
		require.NoError(t, e.Close())
	})
	s.some(t)
	s.fill(t)
	s.some(t)
	failed, _, err := s.List(t.Context(), engine.Query{States: []engine.State{engine.StateFailed}, Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, failed)
	s.failed = failed[0].ID.String()
	s.h = web.Handler(s.App, web.Config{Logger: silent})
	large := runtime.New(e, runtime.Config{Logger: silent})
	addWideTasks(large)
	s.wide = web.Handler(large, web.Config{Logger: silent})
	return s
}

// some enqueues a few tasks that are rare.
func (s *scaled) some(t *testing.T) {
	t.Helper()
	for i := range 20 {
		_, err := webtest.Report(2000+i).Enqueue(t.Context(), s.App)
		require.NoError(t, err)
		_, err = webtest.Mail("ann@example.com", "urgent", "", runtime.WithPriority(3)).Enqueue(t.Context(), s.App)
		if !errors.Is(err, runtime.ErrUnsupported) { // Redis has one priority
			require.NoError(t, err)
		}
		_, err = webtest.Mail(fmt.Sprintf("slow%d@example.com", i), "s", "").Enqueue(t.Context(), s.App)
		require.NoError(t, err)
	}
	_, err := s.RunSchedule(t.Context(), "daily digest")
	require.NoError(t, err)
	book, err := webtest.Book("Moby-Dick").Enqueue(t.Context(), s.App)
	if errors.Is(err, runtime.ErrUnsupported) {
		return
	}
	require.NoError(t, err)
	s.root = book.ID().String()
}

// get reads a page of a dashboard, and returns how long that took.
func get(t *testing.T, h http.Handler, path string) time.Duration {
	w := httptest.NewRecorder()
	began := time.Now()
	h.ServeHTTP(w, request(t.Context(), path))
	took := time.Since(began)
	require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	return took
}

// page reads a page.
func (s *scaled) page(t *testing.T, path string) string {
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, request(t.Context(), path))
	require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	return w.Body.String()
}

func request(ctx context.Context, path string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	return r
}

func scalePages(t *testing.T, name string, add func(path, cell string)) {
	s := newScaled(t, name)
	for _, page := range []struct{ path, label string }{
		{"/", ""}, {"/tasks", ""}, {"/tasks?state=failed", ""}, {"/tasks?state=running", ""},
		{"/tasks?name=mail.Send&state=succeeded", ""}, {"/tasks?priority=3", ""}, {"/tasks?reason=550", ""}, {"/tasks?tag=every", ""}, {"/tasks/" + s.failed, "/tasks/ID"},
		{"/tasks/" + s.root, "/tasks/ID, a tree"}, {"/failed", ""}, {"/queues", ""}, {"/workers", ""}, {"/schedules", ""}, {"/limits", ""},
		{"/history", ""}, {"/graph", ""}, {"/enqueue?name=mail.Send", ""}, {"/confirm?do=retry&state=failed", ""},
		{"/confirm?do=delete&state=failed&name=mail.Send&reason=^smtp: 550 mailbox * is unavailable$", "/confirm?do=delete, a cause"},
		{"/confirm?do=cancel&queue=archive", ""}, {"/confirm?do=delete&state=succeeded", ""}, {"/confirm?do=run&state=scheduled", ""}, {"/api/tasks?limit=100", ""},
		{"/api/tasks/" + s.failed + "/metadata", "/api/tasks/ID/metadata"}, {"/graph", wideGraph},
	} {
		label, h := page.label, s.h
		if label == "" {
			label = page.path
		}
		if label == wideGraph {
			h = s.wide
		}
		var times []time.Duration
		used := cputime.Used()
		for range 9 {
			changed(t, h) // so that nothing that was read before is used
			times = append(times, get(t, h, strings.ReplaceAll(page.path, " ", "%20")))
		}
		used = (cputime.Used() - used) / 9
		slices.Sort(times)
		again := get(t, h, strings.ReplaceAll(page.path, " ", "%20"))
		t.Logf("%s %s: %s, at most %s, again %s; %s of processor time here", name, label, round(times[4]), round(times[8]), round(again), round(used))
		add("`"+strings.ReplaceAll(label, "|", "")+"`", fmt.Sprintf("%s, %s", round(times[4]), round(times[8])))
		if *scaleWithin > 0 {
			assert.LessOrEqual(t, times[8], *scaleWithin, "%s %s", name, label)
		}
	}
	s.runScheduled(t, name, add)
	rates := s.live(t)
	add("tasks a second alone, and beside 100 live pages", fmt.Sprintf("%.0f, %.0f", rates[0], rates[1]))
	t.Logf("%s: %.0f tasks a second, beside 100 live pages %.0f: %.3f", name, rates[0], rates[1], rates[1]/rates[0])
}

// wideGraph is the graph of a large program.
const wideGraph = "/graph, 200 tasks of 60 contexts"

// runScheduled runs all scheduled tasks now, by as many requests as that takes, and waits
// until they have ended.
func (s *scaled) runScheduled(t *testing.T, name string, add func(path, cell string)) {
	began, requests, longest, all := time.Now(), 0, time.Duration(0), 0
	for cursor := ""; requests == 0 || cursor != ""; requests++ {
		body, err := json.Marshal(map[string]any{"state": []string{"scheduled"}, "cursor": cursor})
		require.NoError(t, err)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/run", bytes.NewReader(body))
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
		r.Header.Set("Content-Type", "application/json")
		w, at := httptest.NewRecorder(), time.Now()
		s.h.ServeHTTP(w, r)
		longest = max(longest, time.Since(at))
		require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
		var out struct {
			Done, Failed int
			Next         string
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
		require.Zero(t, out.Failed)
		all, cursor = all+out.Done, out.Next
	}
	assert.GreaterOrEqual(t, all, scheduled())
	assert.LessOrEqual(t, longest, 6*time.Second, "a request goes on for 4 s")
	took := time.Since(began)
	t.Logf("%s: %d scheduled tasks run now in %s by %d requests, the longest %s", name, all, took.Round(time.Millisecond), requests, longest.Round(time.Millisecond))
	add("`POST /api/run`, all scheduled tasks", fmt.Sprintf("%d in %.1f s", all, took.Seconds()))
	s.drain(t, 0)
}

// changed makes a dashboard look at the engine anew, as after an action.
func changed(t *testing.T, h http.Handler) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/resume", strings.NewReader("queue=archive"))
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusSeeOther, w.Code, "%s", w.Body)
}

func round(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// fill enqueues the tasks, and waits until those that run have ended.
func (s *scaled) fill(t *testing.T) {
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
		require.NoError(t, b.Enqueue(t.Context(), s.App))
		most := int64(10 * lot) // memory has room for so many
		if from+lot >= *scale {
			most = 0
		}
		s.drain(t, most)
	}
	for from := 0; from < scheduled(); from += lot {
		var b runtime.Batch
		for range min(lot, scheduled()-from) {
			runtime.AddTo(&b, webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(48*time.Hour)))
		}
		require.NoError(t, b.Enqueue(t.Context(), s.App))
	}
}

// scheduled is how many tasks wait for their time.
func scheduled() int { return min(10_000, *scale/5) }

// drain waits until at most so many mails wait or run.
func (s *scaled) drain(t *testing.T, most int64) {
	t.Helper()
	for {
		waits := int64(0)
		counts, err := s.Counts(t.Context())
		require.NoError(t, err)
		for _, c := range counts {
			if c.Queue == "mail" && (c.State == engine.StatePending || c.State == engine.StateRunning) {
				waits += c.Tasks
			}
		}
		if waits <= most {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
