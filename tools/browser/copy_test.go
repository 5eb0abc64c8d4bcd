package browser_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	taskctx "github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/web"
)

// clipboard is what was copied last.
func (b *tab) clipboard() string {
	b.t.Helper()
	var text string
	b.run(chromedp.Evaluate(`navigator.clipboard.readText()`, &text,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return text
}

// copyIt presses the button that copies an element, and waits until it has.
func (b *tab) copyIt(id string) {
	b.t.Helper()
	at := `button[data-copy="` + id + `"]`
	b.run(chromedp.Click(at, chromedp.ByQuery), chromedp.WaitVisible(at+`[data-done]`, chromedp.ByQuery))
}

// What a page of a task shows is copied, all of it where the page has a part; what was
// opened stays open while the page changes.
//
// Proves: FEATURES 108
func TestTaskPage_Copies(t *testing.T) {
	shop := newShop(t, "memory")
	charge, err := webtest.Charge("c-7", 20_000, "4111").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	_, err = charge.Wait(t.Context())
	require.Error(t, err)
	report, err := webtest.Report(2020).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	failed, running := charge.ID().String(), report.ID().String()
	b := newTab(t, serve(t, shop, web.Config{}))
	b.run(emulation.SetFocusEmulationEnabled(true),
		browser.GrantPermissions([]browser.PermissionType{browser.PermissionTypeClipboardReadWrite, browser.PermissionTypeClipboardSanitizedWrite}))
	b.open("tasks/" + failed)
	b.copyIt("reason")
	assert.Contains(t, b.clipboard(), "was declined: insufficient funds")
	b.copyIt("id")
	assert.Equal(t, failed, b.clipboard())
	b.copyIt("args")
	assert.Contains(t, b.clipboard(), `"card": "[redacted]"`)

	body := strings.Repeat(`a "b" \ 12345678901234567 {,} `, 1000)
	h, err := webtest.Mail("ann@example.com", "s", body, taskctx.WithDelay(time.Hour)).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	b.open("tasks/" + h.ID().String())
	b.says("more bytes are not shown")
	b.copyIt("args")
	record, err := shop.Lookup(t.Context(), h.ID())
	require.NoError(t, err)
	assert.Equal(t, string(record.Args), b.clipboard())
	b.run(chromedp.Evaluate(`Object.defineProperty(navigator, "clipboard", {value: undefined})`, nil)) // as without TLS
	b.copyIt("id")
	b.open("tasks/" + running)
	assert.Equal(t, h.ID().String(), b.clipboard())

	b.run(chromedp.Click(`.fold summary`, chromedp.ByQuery), chromedp.WaitVisible(`#metadata`, chromedp.ByQuery))
	b.accessible("a task's metadata")
	shop.Done()
	b.says("Succeeded")
	b.run(chromedp.WaitVisible(`#metadata`, chromedp.ByQuery), chromedp.WaitVisible(`button[data-copy="result"]`, chromedp.ByQuery))
	b.copyIt("result")
	assert.Contains(t, b.clipboard(), `"pages": 12`)
}

// A copy of a task has what it had, and what is redacted is asked for.
//
// Proves: FEATURES 106
func TestEnqueueACopy(t *testing.T) {
	shop := newShop(t, "memory")
	h, err := webtest.Charge("c-7", 1234, "4111", taskctx.WithTag("plan", "pro"), taskctx.WithPriority(2)).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	b := newTab(t, serve(t, shop, web.Config{}))
	b.open("tasks/" + h.ID().String())
	b.click("Enqueue a copy…")
	b.says("Enqueue a copy of billing.Charge")
	b.accessible("a copy")
	b.run(chromedp.Click(`form.enqueue button.primary`, chromedp.ByQuery)) // the browser asks for the card
	var asked bool
	b.run(chromedp.Evaluate(`document.activeElement.name === "p.card"`, &asked))
	assert.True(t, asked)
	b.run(chromedp.SendKeys(`[name="p.card"]`, "4242", chromedp.ByQuery))
	b.run(chromedp.Click(`form.enqueue button.primary`, chromedp.ByQuery))
	b.says("The task was enqueued.")
	b.says("Succeeded")
	records, _, err := shop.List(t.Context(), engine.Query{Name: "billing.Charge", Tag: "plan", TagValue: "pro", Priorities: []int8{2}})
	require.NoError(t, err)
	assert.Len(t, records, 2)
}
