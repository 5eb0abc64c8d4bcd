package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/web"
)

// Without Config.Allow only programs of this machine may read or act.
//
// Proves: FEATURES 106
func TestAllow_OnlyThisMachineByDefault(t *testing.T) {
	shop := newShop(t)
	h := web.Handler(shop.App, web.Config{Logger: silent})
	for name, c := range map[string]struct {
		remote, host string
		header       string
		ok           bool
	}{
		"loopback":           {"127.0.0.1:1234", "localhost:8080", "", true},
		"another loopback":   {"127.9.9.9:1234", "127.0.0.1:8080", "", true},
		"IPv6":               {"[::1]:1234", "[::1]:8080", "", true},
		"IPv6 without port":  {"[::1]:1234", "[::1]", "", true},
		"mapped":             {"[::ffff:127.0.0.1]:1234", "localhost", "", true},
		"elsewhere":          {"192.0.2.1:1234", "localhost", "", false},
		"no address":         {"@", "localhost", "", false},
		"a rebound name":     {"127.0.0.1:1234", "evil.example", "", false},
		"like localhost":     {"127.0.0.1:1234", "localhost.evil.example", "", false},
		"behind a proxy":     {"127.0.0.1:1234", "localhost", "X-Forwarded-For", false},
		"behind another":     {"127.0.0.1:1234", "localhost", "Forwarded", false},
		"behind a third":     {"127.0.0.1:1234", "localhost", "Via", false},
		"an address as host": {"127.0.0.1:1234", "192.0.2.1", "", false},
	} {
		for _, at := range []string{"GET /", "GET /api/tasks", "GET /events", "POST /bulk", "POST /api/delete"} {
			method, target, _ := strings.Cut(at, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader("{}"))
			r.RemoteAddr, r.Host = c.remote, c.host
			if c.header != "" {
				r.Header.Set(c.header, "192.0.2.7")
			}
			if c.ok {
				if target != "/events" {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					assert.NotEqual(t, http.StatusForbidden, w.Code, "%s %s", name, at)
				}
				continue
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, http.StatusForbidden, w.Code, "%s %s", name, at)
			if at == "GET /" {
				assert.Contains(t, w.Body.String(), "web.Config.Allow", name)
			}
		}
	}
}

// Actions that a page of another origin sends are refused, and change nothing.
func TestGuard_OtherOrigins(t *testing.T) {
	shop := newShop(t)
	log := new(logBuffer)
	s := serve(t, shop.App, web.Config{Allow: allowAll, Logger: log.logger(), TrustedOrigins: []string{"https://ops.example.com"}})
	h, err := webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(time.Hour)).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	id := h.ID().String()
	actions := map[string]string{
		"tasks/" + id + "/cancel": "", "tasks/" + id + "/delete": "", "bulk": "do=delete&state=scheduled", "enqueue": "name=mail.Send&p.to=x&p.subject=y&queue=mail",
		"api/tasks/" + id + "/delete": "{}", "api/delete": `{"all":true}`, "api/tasks": `{"name":"mail.Send","args":{"to":"x","subject":"y"}}`,
	}
	for _, header := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Origin", "http://ops.example.com"},
	} {
		for at, body := range actions {
			for _, kind := range []string{"application/json", "application/x-www-form-urlencoded", "text/plain"} {
				a := s.do("POST", at, kind, body, header...)
				assert.Equal(t, http.StatusForbidden, a.StatusCode, "%s %v", at, header)
			}
		}
	}
	assert.Contains(t, log.String(), "web: action refused")
	tasks := read[list](t, s.get("api/tasks")).Tasks
	require.Len(t, tasks, 1)
	assert.Equal(t, engine.StateScheduled, tasks[0].State)
	for _, header := range [][]string{{"Origin", "https://ops.example.com"}, {"Sec-Fetch-Site", "same-origin"}, nil} {
		a := s.post("api/tasks", actions["api/tasks"], header...)
		assert.Equal(t, http.StatusOK, a.StatusCode, "%v %s", header, a.text)
	}
	assert.Panics(t, func() { web.Handler(shop.App, web.Config{TrustedOrigins: []string{"ops.example.com/x"}}) })
}

// Who may do one thing is shown that one, and can do no other.
func TestAllow_Rights(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Fill(t.Context(), 8))
	failed := read[list](t, serve(t, shop.App, web.Config{}).get("api/tasks?state=failed&limit=1")).Tasks[0].ID.String()
	posts := map[web.Action][]string{
		web.Retry:   {"tasks/" + failed + "/retry", "api/tasks/" + failed + "/retry", "api/retry"},
		web.Run:     {"tasks/" + failed + "/run", "api/tasks/" + failed + "/run", "api/run"},
		web.Cancel:  {"tasks/" + failed + "/cancel", "api/tasks/" + failed + "/cancel", "api/cancel"},
		web.Delete:  {"tasks/" + failed + "/delete", "api/tasks/" + failed + "/delete", "api/delete"},
		web.Enqueue: {"api/tasks"},
	}
	for _, may := range []web.Action{web.View, web.Retry, web.Delete, web.Enqueue} {
		log := new(logBuffer)
		s := serve(t, shop.App, web.Config{Logger: log.logger(), Allow: func(_ *http.Request, a web.Action) error {
			if a == web.View || a == may {
				return nil
			}
			return errors.New("not yours")
		}})
		page := s.get("tasks/" + failed).text
		assert.Equal(t, may == web.Retry, strings.Contains(page, "/retry\""), may)
		assert.Equal(t, may == web.Delete, strings.Contains(page, "/delete\""), may)
		assert.Equal(t, may == web.View, strings.Contains(page, "Read only"), may)
		for a, paths := range posts {
			if a == may {
				continue
			}
			for _, at := range paths {
				got := s.post(at, `{"state":["failed"]}`)
				assert.Equal(t, http.StatusForbidden, got.StatusCode, "%s with the right to %s", at, may)
			}
			got := s.form("bulk", url.Values{"do": {string(a)}, "state": {"failed"}})
			assert.NotEqual(t, http.StatusOK, got.StatusCode)
		}
		assert.Contains(t, log.String(), "action refused")
	}
	s := serve(t, shop.App, web.Config{ReadOnly: true})
	assert.Equal(t, http.StatusForbidden, s.post("api/retry", `{"all":true}`).StatusCode)
	assert.Contains(t, s.get("").text, "Read only")
	assert.Equal(t, http.StatusForbidden, s.get("confirm?do=delete&state=failed").StatusCode)
}

// Nothing of a task reaches a page unescaped, and nothing makes a page large.
func TestPages_HostileTexts(t *testing.T) {
	texts := map[string]string{
		"markup":  `"><img src=x onerror=alert(1)>'--><script>alert(1)</script></title></textarea>{{.}}`,
		"link":    "javascript:alert(1)//&amp;\" onmouseover=\"alert(1)",
		"control": "a\x01\x07\x1b[31m\x7f\u0085\u2028\u2029z",
		"bidi":    "user\u202egnp.exe\u2066\u200f\u061c",
		"right":   "שלום مرحبا",
		"huge":    strings.Repeat("<b>x&\u202e", hugeTexts),
		"utf8":    "\xff\xfe\xc0\x80",
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			engine := newHostile(t, text)
			app := runtime.New(engine, runtime.Config{Logger: silent})
			s := serve(t, app, web.Config{Title: text, User: func(*http.Request) string { return text }})
			id := engine.ids()
			pages := []string{"", "tasks", "tasks?state=failed", "failed", "queues", "workers", "schedules", "limits", "graph",
				"history", "history?range=day", "history?range=months", "enqueue", "confirm?do=delete&all=on", "confirm?do=cancel&id=" + id[2]}
			for _, id := range id {
				pages = append(pages, "tasks/"+id, "tasks/"+id+"?events=all")
			}
			if len(text) < 1000 {
				v := url.Values{"name": {text}, "reason": {text}, "tag": {text}, "queue": {text}, "worker": {text}}
				pages = append(pages, "tasks?"+v.Encode(), "tasks/"+url.PathEscape(text), "find?"+url.Values{"q": {text}}.Encode(),
					"tasks?"+url.Values{"since": {text}}.Encode(), "tasks?"+url.Values{"state": {text}}.Encode(), "nothing/"+url.PathEscape(text),
					"enqueue?"+url.Values{"name": {text}}.Encode(), "tasks?"+url.Values{text: {text}}.Encode())
			}
			for _, page := range pages {
				a := s.get(page)
				if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusNotFound {
					t.Errorf("%s: %s", page, a.Status)
				}
				limit := 130_000
				if strings.Contains(page, "events=all") {
					limit = 2_000_000
				}
				assert.Less(t, len(a.text), limit, page)
				harmless(t, page, a.text)
			}
			for _, at := range []string{"api/tasks?brief=true", "api/tasks/" + id[0], "api/queues", "api/workers", "api/causes", "api/causes?state=retrying",
				"api/limits", "api/graph", "api/history", "api/history?range=weeks", "api/schedules"} {
				a := s.get(at)
				require.Equal(t, http.StatusOK, a.StatusCode, at)
				assert.True(t, json.Valid([]byte(a.text)), at)
				assert.NotContains(t, a.text, "<", at)
			}
		})
	}
}

var values = regexp.MustCompile(` value="[^"]*"`)

// harmless fails the test if a page has what a browser would act on.
func harmless(t *testing.T, name, page string) {
	t.Helper()
	for _, bad := range []string{
		"<img", "<script>", "</title></textarea", "onerror=alert(1)>", `" onmouseover`, `href="javascript`, "\x01", "\x07", "\x1b", "\x7f",
		"\u0085", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f", "\u061c", "\xff", "ZgotmplZ",
	} {
		text := page
		if bad >= "\u0085" || bad < " " || bad == "\x7f" { // a field of the filter has what was asked for
			text = values.ReplaceAllString(page, "")
		}
		if i := strings.Index(text, bad); i >= 0 {
			t.Errorf("%s has %q: %.200q", name, bad, text[max(i-100, 0):])
		}
	}
	head, _, _ := strings.Cut(page, "</head>")
	assert.Equal(t, 1, strings.Count(head, "<title>"), name)
}
