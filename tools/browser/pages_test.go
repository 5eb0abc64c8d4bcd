package browser_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/web"
	"github.com/taskctx/taskctx/runtime/wire"
)

var (
	pictures = flag.String("pictures", "", "a folder for pictures of all pages, to look at")
	only     = flag.String("only", "", "a regular expression: only these pages")
	document = flag.String("document", "", "a folder for those of docs/operations.md")
)

// documented are the pictures of docs/operations.md.
var documented = []string{"overview", "failed", "task-failed", "task-waiting-dark", "overview-phone-dark", "history", "graph", "graph-contexts", "limits-dark"}

// filled is a shop with tasks in every state, and the ids of some of them.
func filled(t *testing.T, name string) (s *webtest.Shop, failed, running string) {
	t.Helper()
	s = newShop(t, name)
	require.NoError(t, s.Fill(t.Context(), 60))
	require.NoError(t, s.Count(t.Context(), time.Now()))
	require.NoError(t, s.Queue(t.Context(), 5))
	ids := func(st engine.State, name string) string {
		records, _, err := s.List(t.Context(), engine.Query{States: []engine.State{st}, Name: name, Limit: 1})
		require.NoError(t, err)
		require.NotEmpty(t, records)
		return records[0].ID.String()
	}
	<-s.Began
	return s, ids(engine.StateFailed, "billing.Charge"), ids(engine.StateRunning, "report.Build")
}

// book is a durable task of the shop that waits, empty on an engine without them.
func book(t *testing.T, shop *webtest.Shop) string {
	t.Helper()
	h, err := webtest.Book("Moby-Dick").Enqueue(t.Context(), shop)
	if errors.Is(err, runtime.ErrUnsupported) {
		return ""
	}
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		r, err := h.Record(t.Context())
		entries, jerr := shop.Journal(t.Context(), h.ID())
		return err == nil && jerr == nil && r.State == engine.StateWaiting && len(entries) > 4
	}, 30*time.Second, 20*time.Millisecond)
	return h.ID().String()
}

// keep writes the page as a picture, if it was asked for.
func (b *tab) keep(name string) {
	b.t.Helper()
	for folder, want := range map[string]bool{*pictures: true, *document: slices.Contains(documented, name)} {
		if folder != "" && want {
			require.NoError(b.t, os.MkdirAll(folder, 0o755))
			require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), b.picture(false), 0o644))
		}
	}
}

// Every page, on a desk and on a phone, in the light and in the dark, can be used
// by everybody, and breaks no rule of its own policy.
//
// Proves: FEATURES 106
func TestPages(t *testing.T) {
	for _, name := range []string{"memory", "sqlite", "postgres", "redis"} {
		t.Run(name, func(t *testing.T) {
			shop, failed, running := filled(t, name)
			b := newTab(t, serve(t, shop, web.Config{Title: "shop, production"}))
			pages := []struct{ name, path string }{
				{"overview", ""}, {"tasks", "tasks"}, {"tasks-failed", "tasks?state=failed&name=billing.Charge"}, {"task-failed", "tasks/" + failed},
				{"task-running", "tasks/" + running}, {"task-waiting", strings.TrimSuffix("tasks/"+book(t, shop), "/")}, {"failed", "failed"}, {"queues", "queues"}, {"workers", "workers"}, {"schedules", "schedules"},
				{"history", "history?range=day"}, {"limits", "limits"}, {"graph", "graph"},
				{"enqueue", "enqueue"}, {"graph-contexts", "graph#contexts"}, {"enqueue-report", "enqueue?name=report.Build&like=" + running}, {"confirm", "confirm?do=delete&state=failed&name=mail.Send"},
				{"delete", "tasks/" + failed + "/delete"}, {"docs", "docs"}, {"missing", "nothing"},
			}
			b.expect = "404"
			chosen := regexp.MustCompile(*only)
			for _, p := range pages {
				if !chosen.MatchString(p.name) || p.name == "graph-contexts" && *pictures+*document == "" { // a part of a page
					continue
				}
				for _, phone := range []bool{false, true} {
					for _, dark := range []bool{false, true} {
						if name != "memory" && (phone || dark) {
							continue // the pages are the same
						}
						if phone != dark && *pictures+*document == "" {
							continue // both widths and both schemes are seen
						}
						b.look(phone, dark)
						b.open(p.path)
						what := fmt.Sprintf("%s, phone %t, dark %t", p.name, phone, dark)
						b.fits(what)
						if name == "memory" {
							b.accessible(what)
							b.keep(p.name + map[bool]string{true: "-phone"}[phone] + map[bool]string{true: "-dark"}[dark])
						}
					}
				}
			}
		})
	}
}

// What an operator does at night, by clicks, on each engine.
func TestActions(t *testing.T) {
	for _, name := range []string{"memory", "sqlite", "postgres", "redis"} {
		t.Run(name, func(t *testing.T) {
			shop, failed, running := filled(t, name)
			b := newTab(t, serve(t, shop, web.Config{}))
			b.open("")
			b.says("Tasks fail: ")
			b.click("Show the causes")
			b.says("smtp: 550 mailbox … is unavailable")
			b.run(chromedp.Click(`//tr[contains(., "550 mailbox")]//a[contains(., "Delete")]`, chromedp.BySearch))
			b.says("Delete 15 tasks?")
			b.run(chromedp.Click(`//main//button[contains(., "Delete 15 tasks")]`, chromedp.BySearch))
			b.says("Delete: 15 tasks done")
			records, _, err := shop.List(t.Context(), engine.Query{States: []engine.State{engine.StateFailed}, Reason: "550 mailbox"})
			require.NoError(t, err)
			assert.Empty(t, records)

			b.open("tasks/" + failed)
			b.click("Retry")
			b.says("The task will run once more.")
			b.open("tasks/" + running)
			b.says("month 7")
			b.click("Cancel")
			b.says("The task was cancelled; one that runs was told to stop.")
			b.says("Cancelled")

			// Two of a page, chosen by hand.
			b.open("tasks?state=failed&name=billing.Charge")
			b.run(chromedp.Click(`tbody tr:nth-child(1) input`, chromedp.ByQuery), chromedp.Click(`tbody tr:nth-child(2) input`, chromedp.ByQuery))
			b.says("2 chosen:")
			b.run(chromedp.Click(`button[name=do][value=delete]`, chromedp.ByQuery))
			b.says("Delete 2 tasks?")
			b.run(chromedp.Click(`//main//form//button`, chromedp.BySearch))
			b.says("Delete: 2 tasks done")

			b.open("enqueue")
			b.click("mail.Send")
			b.says("Arguments of Send")
			b.run(
				chromedp.SendKeys(`[name="p.to"]`, "ann@example.com", chromedp.ByQuery),
				chromedp.SendKeys(`[name="p.subject"]`, "By hand", chromedp.ByQuery), chromedp.Submit(`form.enqueue`, chromedp.ByQuery))
			b.says("The task was enqueued.")
			b.says("By hand")
			b.says("Succeeded")
		})
	}
}

// A page follows what happens, without being loaded again.
//
// Proves: FEATURES 106
func TestLive(t *testing.T) {
	for _, name := range []string{"memory", "sqlite", "postgres", "redis"} {
		t.Run(name, func(t *testing.T) {
			shop := newShop(t, name)
			b := newTab(t, serve(t, shop, web.Config{}))
			b.open("")
			b.says("Nothing is wrong")
			b.run(chromedp.Evaluate(`window.mine = true`, nil))
			h, err := webtest.Report(2020).Enqueue(t.Context(), shop)
			require.NoError(t, err)
			b.says("report.Build")
			b.open("tasks/" + h.ID().String())
			b.run(chromedp.Evaluate(`window.mine = true`, nil))
			shop.Done()
			b.says("Succeeded")
			var mine bool
			b.run(chromedp.Evaluate(`window.mine === true`, &mine))
			assert.True(t, mine, "the page was loaded again")
		})
	}
}

// What a reader has done to a live page stays, and it can be held.
func TestLiveLeavesTheReaderAlone(t *testing.T) {
	shop := newShop(t, "memory")
	require.NoError(t, shop.Fill(t.Context(), 12))
	b := newTab(t, serve(t, shop, web.Config{}))
	b.open("tasks?state=failed")
	b.run(chromedp.Click(`tbody tr:nth-child(1) input`, chromedp.ByQuery))
	b.says("1 chosen:")
	var before, after int
	rows := `document.querySelectorAll("tbody tr").length`
	b.run(chromedp.Evaluate(rows, &before))
	_, err := webtest.Mail("gone@example.com", "s", "").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		b.run(chromedp.Evaluate(rows, &after))
		return after == before+1
	}, 30*time.Second, 100*time.Millisecond)
	b.says("1 chosen:")
	b.run(chromedp.Click(`#live`, chromedp.ByQuery))
	b.says("Paused")
	_, err = webtest.Mail("gone2@example.com", "s", "").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	time.Sleep(3 * time.Second) // nothing is to happen
	b.run(chromedp.Evaluate(rows, &after))
	assert.Equal(t, before+1, after, "a page that is held has changed")
	b.run(chromedp.Click(`#live`, chromedp.ByQuery))
	require.Eventually(t, func() bool {
		b.run(chromedp.Evaluate(rows, &after))
		return after == before+2
	}, 30*time.Second, 100*time.Millisecond)
}

// A proxy that keeps a stream back is found out, and the page asks by itself.
func TestLiveBehindAProxyThatBuffers(t *testing.T) {
	shop := newShop(t, "memory")
	hold := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/events") {
				select { // nothing comes through until the end
				case <-r.Context().Done():
				case <-time.After(time.Minute):
				}
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	b := newTab(t, serve(t, shop, web.Config{}, hold))
	b.open("")
	b.says("Nothing is wrong")
	_, err := webtest.Mail("gone@example.com", "s", "").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	b.says("Tasks fail: 1")
}

// The server is down: the page says so, and comes back by itself.
func TestServerThatIsDown(t *testing.T) {
	shop := newShop(t, "memory")
	var down atomic.Bool
	broken := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() && !strings.HasSuffix(r.URL.Path, "/events") {
				http.Error(w, "down", http.StatusBadGateway)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	b := newTab(t, serve(t, shop, web.Config{}, broken))
	b.expect = "502"
	b.open("")
	b.says("Live")
	down.Store(true)
	_, err := webtest.Mail("gone@example.com", "s", "").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	b.says("No answer")
	down.Store(false)
	b.says("Tasks fail: 1")
	b.says("Live")
}

// Everything can be done with the keyboard alone.
//
// Proves: FEATURES 106
func TestKeyboard(t *testing.T) {
	shop, failed, _ := filled(t, "memory")
	b := newTab(t, serve(t, shop, web.Config{}))
	b.open("tasks/" + failed)
	focused := func() string {
		var s string
		b.run(chromedp.Evaluate(`(document.activeElement.innerText || document.activeElement.id || "").trim()`, &s))
		return s
	}
	b.run(chromedp.KeyEvent(kb.Tab))
	assert.Equal(t, "Skip to the content", focused())
	b.run(chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Tab))
	for range 5 {
		if focused() == "Retry" {
			break
		}
		b.run(chromedp.KeyEvent(kb.Tab))
	}
	require.Equal(t, "Retry", focused())
	b.run(chromedp.KeyEvent(kb.Enter))
	b.says("The task will run once more.")
	b.says("Live") // the page's script is there
	b.run(chromedp.KeyEvent("/"))
	assert.Equal(t, "find", focused())
	b.run(chromedp.Evaluate(`document.activeElement.value = ""`, nil)) // the driver types what a keyboard would not
	b.run(chromedp.KeyEvent("mail.Send"), chromedp.KeyEvent(kb.Enter))
	b.says("smtp: 550 mailbox")
	var name string
	b.run(chromedp.Value(`.filter input[name=name]`, &name, chromedp.ByQuery))
	assert.Equal(t, "mail.Send", name)
}

// Pages are read without JavaScript, and act.
func TestWithoutScripts(t *testing.T) {
	shop, failed, _ := filled(t, "memory")
	b := newTab(t, serve(t, shop, web.Config{}))
	b.run(emulation.SetScriptExecutionDisabled(true))
	b.open("tasks/" + failed)
	var buttons int
	b.run(chromedp.Evaluate(`[...document.querySelectorAll(".copy")].filter(e => e.checkVisibility()).length`, &buttons))
	assert.Zero(t, buttons, "nothing copies")
	var heading string
	b.run(chromedp.Text("h1", &heading, chromedp.ByQuery))
	assert.Equal(t, "billing.Charge", heading)
	b.run(chromedp.Click(`form[action$="/retry"] button`, chromedp.ByQuery), chromedp.WaitVisible(`p.done`, chromedp.ByQuery))
}

// Nothing that a task carries runs, whatever it is.
func TestHostileTasks(t *testing.T) {
	text := `"><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>{{alert(4)}}` + "\u202e\x1b[31m"
	shop := newShop(t, "memory")
	hostile := glue.NewTask[struct{}, string](wire.Spec{Name: text, Func: "Hostile", Queue: "mail", Retries: 0}, nil)
	glue.Register(shop.App, hostile, func(ctx *runtime.Context, _ *struct{}) (string, error) {
		ctx.Logger(text).Warn(text, text, text)
		ctx.Progress(1, 2, text)
		return text, fmt.Errorf("%s", text)
	})
	require.NoError(t, shop.Stop(t.Context()))
	require.NoError(t, shop.Start(t.Context()))
	h, err := hostile.Call(nil, []runtime.Option{runtime.WithTag(text, text)}).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.Error(t, err)
	b := newTab(t, serve(t, shop, web.Config{Title: text}))
	for _, path := range []string{"", "tasks", "tasks/" + h.ID().String(), "failed", "workers", "queues", "enqueue", "graph", "limits", "history", "schedules", "confirm?do=delete&state=failed"} {
		b.open(path)
		b.fits(path)
		var count int
		b.run(chromedp.Evaluate(`document.querySelectorAll("main img, main script, svg[onload]").length`, &count))
		assert.Zero(t, count, path)
	}
}
