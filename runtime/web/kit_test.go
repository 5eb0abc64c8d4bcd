package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// newShop returns a shop that works on a memory engine.
func newShop(t testing.TB) *webtest.Shop {
	t.Helper()
	return shopOn(t, memory.New(memory.Config{}))
}

// shopOn returns a shop that works on the engine, which it closes.
func shopOn(t testing.TB, engine engine.Engine) *webtest.Shop {
	t.Helper()
	s := webtest.New(engine, silent)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() {
		s.Done()
		require.NoError(t, s.Stop(context.Background()))
		require.NoError(t, engine.Close())
	})
	return s
}

// allowAll lets everybody do everything.
func allowAll(*http.Request, web.Action) error { return nil }

// site is a server with a dashboard under a prefix.
type site struct {
	t    testing.TB
	base string // with the prefix and a slash
	*http.Client
}

// serve serves the dashboard of an app under /ops/tasks/.
func serve(t testing.TB, app *runtime.App, cfg web.Config) *site {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = silent
	}
	mux := http.NewServeMux()
	mux.Handle("/ops/tasks/", http.StripPrefix("/ops/tasks", web.Handler(app, cfg)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &site{t, server.URL + "/ops/tasks/", server.Client()}
}

// answer is what a request got.
type answer struct {
	*http.Response
	text string
}

func (s *site) do(method, path, contentType, body string, header ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, err := s.Do(r)
	require.NoError(s.t, err)
	text, err := io.ReadAll(w.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, w.Body.Close())
	return answer{w, string(text)}
}

// get reads a page, or something of the API.
func (s *site) get(path string, header ...string) answer {
	s.t.Helper()
	return s.do("GET", path, "", "", header...)
}

// post sends JSON, and post a form.
func (s *site) post(path, body string, header ...string) answer {
	s.t.Helper()
	return s.do("POST", path, "application/json", body, header...)
}

func (s *site) form(path string, form url.Values, header ...string) answer {
	s.t.Helper()
	return s.do("POST", path, "application/x-www-form-urlencoded", form.Encode(), header...)
}

// read decodes the answer of the API.
func read[T any](t testing.TB, a answer) T {
	t.Helper()
	require.Equal(t, http.StatusOK, a.StatusCode, a.text)
	var v T
	require.NoError(t, json.Unmarshal([]byte(a.text), &v), a.text)
	return v
}

// list is what api/tasks answers.
type list struct {
	Tasks []*runtime.Record
	Next  string
}

// logBuffer is a log to look at.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// links are the relative URLs that a page leads to.
func links(page string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?:href|action|src)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(m[1], "&amp;", "&"))
	}
	return all
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, time.Minute, 10*time.Millisecond, what)
}
