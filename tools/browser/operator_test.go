package browser_test

import (
	"flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/web"
)

var night = flag.Int("night", 5000, "how many tasks there are in TestOperator: one in 25 has failed")

// TestOperator is a night: one in 25 of very many tasks has failed, for two causes. Both
// causes are found, one kind is retried, the other deleted, a queue paused, and the
// worker found that runs longest; with its clicks counted.
func TestOperator(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) { operate(t, name, *night) })
	}
}

func operate(t *testing.T, name string, all int) {
	shop := newShop(t, name)
	const lot = 5000
	require.Zero(t, all%lot)
	failed, kind := english(all/25), english(all/50)
	for from := 0; from < all; from += lot {
		var b runtime.Batch
		for i := from; i < from+lot; i++ {
			switch i % 50 {
			case 7:
				runtime.AddTo(&b, webtest.Mail(fmt.Sprintf("gone%d@example.com", i), "s", ""))
			case 8:
				runtime.AddTo(&b, webtest.Charge(fmt.Sprintf("c-%d", i), 20_000, "4111"))
			default:
				runtime.AddTo(&b, webtest.Mail("ann@example.com", "s", ""))
			}
		}
		require.NoError(t, b.Enqueue(t.Context(), shop))
	}
	count := func(s engine.State) (n int64) {
		counts, err := shop.Counts(t.Context())
		require.NoError(t, err)
		for _, c := range counts {
			if c.State == s {
				n += c.Tasks
			}
		}
		return n
	}
	require.Eventually(t, func() bool {
		return count(engine.StatePending)+count(engine.StateRunning)+count(engine.StateRetrying) == 0
	},
		5*time.Minute, 100*time.Millisecond)
	require.Equal(t, int64(all/25), count(engine.StateFailed))
	_, err := webtest.Report(2020).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	<-shop.Began

	b := newTab(t, serve(t, shop, web.Config{}))
	b.open("")
	b.says("Tasks fail: " + failed + " for 2 causes")
	began, clicks := time.Now(), 0
	click := func(xpath string) {
		t.Helper()
		clicks++
		b.run(chromedp.Click(xpath, chromedp.BySearch))
	}
	click(`//main//a[contains(., "Show the causes")]`)
	b.says("card of customer … was declined")
	click(`//tr[contains(., "550 mailbox")]//a[contains(., "Delete all")]`)
	b.says("Delete " + kind + " tasks?")
	click(`//main//form//button[contains(., "Delete ` + kind + `")]`)
	b.says("Delete: " + kind + " tasks done")
	click(`//nav//a[contains(., "Queues")]`)
	b.says("Oldest waiting")
	click(`//tr[contains(., "billing")]//button[contains(., "Pause")]`)
	b.says("paused")
	click(`//nav//a[contains(., "Failed")]`)
	b.says("card of customer … was declined")
	click(`//tr[contains(., "was declined")]//a[contains(., "Retry all")]`)
	b.says("Retry " + kind + " tasks?")
	click(`//main//form//button[contains(., "Retry ` + kind + `")]`)
	b.says("Retry: " + kind + " tasks done")
	click(`//nav//a[contains(., "Workers")]`)
	b.says("report.Build")
	t.Logf("%s, %d tasks: %d clicks in %s", name, all, clicks, time.Since(began).Round(100*time.Millisecond))
	assert.Equal(t, 9, clicks, "docs/operations.md tells how many")
	assert.Equal(t, int64(0), count(engine.StateFailed))
	assert.Equal(t, int64(all/50), count(engine.StatePending)+count(engine.StateRetrying), "they wait in the queue that is paused")
}

// english writes a number below a million as pages do.
func english(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
