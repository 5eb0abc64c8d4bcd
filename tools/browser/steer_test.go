package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/web"
)

const (
	eventually = 30 * time.Second
	tick       = 20 * time.Millisecond
)

// press clicks what an XPath finds.
func (b *tab) press(xpath string) {
	b.t.Helper()
	b.run(chromedp.Click(xpath, chromedp.BySearch))
}

// Queues, schedules and limits are steered by clicks, on each engine, and the pages
// that only tell lead on to tasks.
//
// Proves: FEATURES 106
func TestSteering(t *testing.T) {
	for _, name := range []string{"memory", "sqlite", "postgres", "redis"} {
		t.Run(name, func(t *testing.T) {
			shop, _, _ := filled(t, name)
			b := newTab(t, serve(t, shop, web.Config{}))

			b.open("queues")
			b.press(`//tr[contains(., "billing")]//button[contains(., "Pause")]`)
			b.says("Resume")
			paused, err := shop.Paused(t.Context())
			require.NoError(t, err)
			require.Len(t, paused, 1)
			assert.Equal(t, "billing", paused[0].Queue)
			b.open("")
			b.says("The queue billing is paused")
			b.open("queues")
			b.press(`//tr[contains(., "billing")]//button[contains(., "Resume")]`)
			b.run(chromedp.WaitNotPresent(`//tr[contains(., "billing")]//button[contains(., "Resume")]`, chromedp.BySearch))

			b.open("schedules")
			b.press(`//tr[contains(., "daily digest")]//button[contains(., "Pause")]`)
			b.says("Resume")
			names, err := shop.PausedSchedules(t.Context())
			require.NoError(t, err)
			assert.Equal(t, []string{"daily digest"}, names)
			b.press(`//tr[contains(., "daily digest")]//button[contains(., "Resume")]`)
			b.run(chromedp.WaitNotPresent(`//button[contains(., "Resume")]`, chromedp.BySearch))
			b.press(`//tr[contains(., "daily digest")]//button[contains(., "Run now")]`)
			b.says("The task was enqueued.")
			b.says("Succeeded")
			b.open("schedules")
			b.says("succeeded")

			// Tasks that wait for their time run now: one, and all that are like it.
			level := 2
			if name == "redis" { // it has one
				level = 0
			}
			ids := later(t, shop, 3, level)
			b.open("tasks/" + ids[0])
			b.click("Run now")
			b.says("The task runs as soon as a worker takes it.")
			b.says("Succeeded")
			b.open("tasks?state=scheduled&tag=" + url.QueryEscape("kind:later"))
			b.run(chromedp.SendKeys(`.filter input[name=priority]`, fmt.Sprint(level), chromedp.ByQuery))
			b.click("Filter")
			b.run(chromedp.WaitVisible(fmt.Sprintf(`.filter input[name=priority][value="%d"]`, level), chromedp.ByQuery))
			b.click("Run all now…")
			b.says("Run 2 tasks now?")
			b.click("Run 2 tasks now")
			b.says("Run: 2 tasks done")
			for _, id := range ids {
				require.Eventually(t, func() bool {
					r, err := shop.Lookup(t.Context(), uuid.MustParse(id))
					return err == nil && r.State == engine.StateSucceeded
				}, eventually, tick)
			}

			b.open("")
			b.click("Run them now…") // those that are retried
			b.says("Tasks that are retrying.")
			b.says("Run 2 tasks now?")

			b.open("limits")
			if _, limits := engine.As[engine.Limiter](shop.Engine()); limits {
				b.run(chromedp.SendKeys(`input.few`, "2", chromedp.ByQuery))
				b.press(`//button[contains(., "Set")]`)
				b.says("Limits")
				require.Eventually(t, func() bool {
					counts, err := shop.Limits(t.Context())
					return err == nil && len(counts) == 1 && counts[0].Set == 2 && counts[0].Held == 2
				}, eventually, tick, "the limit holds at once")
				var set string
				b.run(chromedp.Value(`input.few`, &set, chromedp.ByQuery))
				assert.Equal(t, "2", set)
			} else {
				b.says("This engine has no limits.")
				_, err := shop.Limits(t.Context())
				assert.ErrorIs(t, err, runtime.ErrUnsupported)
			}

			b.open("history")
			b.click("Two weeks")
			b.run(chromedp.WaitVisible(`//nav//*[@aria-current][contains(., "Two weeks")]`, chromedp.BySearch))
			b.says("How long runs took")
			require.Eventually(t, func() bool {
				var marks int
				b.run(chromedp.Evaluate(`document.querySelectorAll(".plot rect, .plot polyline").length`, &marks))
				return marks > 3
			}, eventually, tick, "the page draws what ended")

			b.open("graph")
			b.says("Contexts of this process")
			b.says("webtest.beginShelf")
			b.press(`//td/a[contains(., "report.Build")]`)
			b.run(chromedp.WaitVisible(`.filter input[name=name][value="report.Build"]`, chromedp.ByQuery))

			b.open("workers")
			b.says("report.Build")
			b.press(`//section[contains(@class, "worker")]//h2/a`)
			b.run(chromedp.WaitVisible(`.filter input[name=worker]`, chromedp.ByQuery))
			b.says("report.Build")
		})
	}
}

// What somebody types stays when the page changes meanwhile.
func TestLive_KeepsWhatIsTyped(t *testing.T) {
	shop, _, _ := filled(t, "memory")
	b := newTab(t, serve(t, shop, web.Config{}))
	b.open("limits")
	b.says("Live")
	b.run(chromedp.SendKeys(`input.few`, "3", chromedp.ByQuery))
	for i, customer := range []string{"globex", "initech"} { // a change, and another
		_, err := webtest.Scan(customer).Enqueue(t.Context(), shop)
		require.NoError(t, err)
		b.run(chromedp.WaitVisible(fmt.Sprintf(`//td[@data-label="keys" and text()="%d"]`, i+2), chromedp.BySearch))
	}
	var typed string
	b.run(chromedp.Value(`input.few`, &typed, chromedp.ByQuery))
	assert.Equal(t, "3", typed)
	b.press(`//button[contains(., "Set")]`)
	require.Eventually(t, func() bool {
		counts, err := shop.Limits(t.Context())
		return err == nil && len(counts) == 1 && counts[0].Set == 3
	}, eventually, tick)
}

// later are the ids of scheduled tasks with a tag of their own.
func later(t *testing.T, shop *webtest.Shop, n, priority int) (ids []string) {
	t.Helper()
	for range n {
		h, err := webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(48*time.Hour), runtime.WithTag("kind", "later"), runtime.WithPriority(priority)).Enqueue(t.Context(), shop)
		require.NoError(t, err)
		ids = append(ids, h.ID().String())
	}
	return ids
}

// focused is what the keyboard would act on.
func (b *tab) focused() string {
	b.t.Helper()
	var s string
	b.run(chromedp.Evaluate(`(e => (e.getAttribute("aria-label") || e.innerText || e.id || "").trim())(document.activeElement)`, &s))
	return s
}

// reach goes with the tabulator to what has a label, and fails if that is not there.
func (b *tab) reach(label string) {
	b.t.Helper()
	var passed []string
	for range 60 {
		at := b.focused()
		if strings.HasPrefix(at, label) {
			return
		}
		passed = append(passed, at)
		b.run(chromedp.KeyEvent(kb.Tab))
	}
	require.Failf(b.t, "no way by the keyboard", "%q is not among %q", label, passed)
}

// What is pressed by the mouse can be pressed by the keyboard, on each page that acts.
//
// Proves: FEATURES 106
func TestKeyboard_EachPageThatActs(t *testing.T) {
	shop, _, _ := filled(t, "memory")
	b := newTab(t, serve(t, shop, web.Config{}))
	enter := chromedp.KeyEvent(kb.Enter)

	b.open("queues")
	b.reach("Pause the queue billing")
	b.run(enter)
	b.says("Resume")
	b.open("queues")
	b.reach("Resume the queue billing")
	b.run(enter)
	b.run(chromedp.WaitNotPresent(`//button[contains(., "Resume")]`, chromedp.BySearch))

	b.open("schedules")
	b.reach("Run now: daily digest")
	b.run(enter)
	b.says("The task was enqueued.")

	b.open("limits")
	b.reach("At most, for each key of scan.Inbox")
	b.run(chromedp.KeyEvent("3"), enter)
	require.Eventually(t, func() bool {
		counts, err := shop.Limits(t.Context())
		return err == nil && len(counts) == 1 && counts[0].Set == 3
	}, eventually, tick)

	b.open("failed")
	b.reach("Delete all")
	b.run(enter)
	b.says("For example")
	b.reach("Delete ")
	b.run(enter)
	b.says("tasks done")

	b.open("tasks?state=failed")
	b.reach("Choose all")
	b.run(chromedp.KeyEvent(" "))
	b.reach("Retry")
	b.run(enter)
	b.says("For example")
	b.says("chosen by hand")

	b.open("enqueue")
	b.reach("stock.Count")
	b.run(enter)
	b.says("Arguments of Count")
	b.reach("p.item")
	b.run(chromedp.KeyEvent("tea"))
	b.reach("Enqueue")
	b.run(enter)
	b.says("The task was enqueued.")

	b.open("history")
	b.reach("Three months")
	b.run(enter, chromedp.WaitVisible(`//a[@aria-current and contains(., "Three months")]`, chromedp.BySearch))
	b.open("graph")
	b.reach("The graph as a picture")
	b.reach("report.Build")
	b.run(enter)
	b.says("Filter")
}

// Who may only look is offered nothing to press, and who may not look sees nothing.
func TestRights(t *testing.T) {
	shop, failed, _ := filled(t, "memory")
	reading := newTab(t, serve(t, shop, web.Config{ReadOnly: true}))
	for _, path := range []string{"", "tasks?state=failed", "tasks/" + failed, "failed", "queues", "schedules", "limits", "workers", "graph", "history"} {
		reading.open(path)
		var buttons []string
		reading.run(chromedp.Evaluate(`[...document.querySelectorAll("main form[method=post], main a[href*='confirm'], main button[name=do]")].map(e => e.outerHTML.slice(0, 120))`, &buttons))
		assert.Empty(t, buttons, path)
	}
	reading.open("enqueue?name=mail.Send")
	reading.says("You may not enqueue tasks here.")

	nobody := newTab(t, serve(t, shop, web.Config{Allow: func(*http.Request, web.Action) error { return errors.New("ask the operators") }}))
	nobody.expect = "403"
	for _, path := range []string{"", "tasks/" + failed, "workers"} {
		nobody.open(path)
		nobody.says("You may not do this")
		nobody.says("ask the operators")
		assert.NotContains(t, nobody.text(), "billing.Charge", path)
	}
}

// breakable is an engine whose store can be down.
type breakable struct {
	engine.Engine
	broken atomic.Bool
}

var errDown = errors.New("connection refused")

func (e *breakable) Counts(ctx context.Context) ([]engine.Count, error) {
	if e.broken.Load() {
		return nil, errDown
	}
	return e.Engine.(engine.Counter).Counts(ctx)
}

func (e *breakable) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	if e.broken.Load() {
		return nil, "", errDown
	}
	return e.Engine.List(ctx, q)
}

// A store that is down is told on the page, which comes back by itself.
//
// Proves: RELIABILITY 40
func TestStoreThatIsDown(t *testing.T) {
	shop := newShop(t, "memory")
	store := &breakable{Engine: shop.Engine()}
	b := newTab(t, serveApp(t, runtime.New(store, runtime.Config{Logger: silent}), web.Config{}))
	b.expect = "503"
	b.open("")
	b.says("Live")
	store.broken.Store(true)
	b.says("No answer")
	b.open("tasks")
	b.says("The store does not answer")
	store.broken.Store(false)
	b.says("No task is like that.") // by itself
	b.says("Live")
	_, err := webtest.Mail("gone@example.com", "s", "").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	b.open("")
	b.says("Tasks fail: 1")
}
