package flow

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// diary is what the tasks did, and when.
type diary struct {
	mu    sync.Mutex
	began time.Time
	lines []line // guarded by mu
	// do is what a task does besides, nil for nothing.
	do func(ctx context.Context, what, of string) error
}

type line struct {
	what, of string
	at       time.Duration
}

func (d *diary) log(ctx context.Context, what, of string) error {
	d.mu.Lock()
	d.lines = append(d.lines, line{what, of, time.Since(d.began)})
	d.mu.Unlock()
	if d.do != nil {
		return d.do(ctx, what, of)
	}
	return nil
}

// of returns the lines about one, when all that can run by now has.
func (d *diary) of(one string) (ls []line) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lines {
		if l.of == one {
			ls = append(ls, l)
		}
	}
	return ls
}

// inVirtualTime starts an app with the tasks, in a bubble in which a day takes no time.
func inVirtualTime(t *testing.T, d *diary, test func(t *testing.T, app *runtime.App), setup ...func(*runtime.App)) {
	synctest.Test(t, func(t *testing.T) {
		app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 30, Queues: []string{"default", "exports"}})
		RegisterTasks(app)
		runtime.Supply(app, Log(d.log))
		for _, s := range setup {
			s(app)
		}
		d.began = time.Now()
		require.NoError(t, app.Start(t.Context()))
		test(t, app)
		require.NoError(t, app.Stop(context.Background()))
	})
}

// TestCall_QuotaOfEachCustomer: 100 calls of a customer begin in a minute, and another
// customer does not wait for them.
func TestCall_QuotaOfEachCustomer(t *testing.T) {
	d := new(diary)
	inVirtualTime(t, d, func(t *testing.T, app *runtime.App) {
		for n := range 250 {
			_, err := EnqueueCall(t.Context(), app, "acme", n)
			require.NoError(t, err)
		}
		_, err := EnqueueCall(t.Context(), app, "other", 0)
		require.NoError(t, err)
		assert.Len(t, d.of("other"), 1)
		assert.Len(t, d.of("acme"), 100)
		time.Sleep(5 * time.Minute)
		calls := d.of("acme")
		require.Len(t, calls, 250)
		for i := 100; i < len(calls); i++ {
			assert.GreaterOrEqual(t, calls[i].at-calls[i-100].at, time.Minute)
		}
	})
}

// TestPost_InOrder: the entries of an account are posted one by one, also when the first
// fails and is retried.
func TestPost_InOrder(t *testing.T) {
	d := new(diary)
	failed := false
	d.do = func(context.Context, string, string) error {
		if !failed {
			failed = true
			return errors.New("the bank is closed")
		}
		return nil
	}
	inVirtualTime(t, d, func(t *testing.T, app *runtime.App) {
		for n := range 3 {
			_, err := EnqueuePost(t.Context(), app, "ann", n)
			require.NoError(t, err)
		}
		assert.Len(t, d.of("ann"), 1, "the others wait while the first waits for its retry")
		time.Sleep(time.Minute)
		var order []string
		for _, l := range d.of("ann") {
			order = append(order, l.what)
		}
		assert.Equal(t, []string{"post 0", "post 0", "post 1", "post 2"}, order)
	})
}

// TestSync_OneAtATime: of an account one runs, and others go meanwhile.
func TestSync_OneAtATime(t *testing.T) {
	d := new(diary)
	d.do = func(ctx context.Context, _, of string) error {
		if of == "ann" {
			return sleep(ctx, time.Hour)
		}
		return nil
	}
	inVirtualTime(t, d, func(t *testing.T, app *runtime.App) {
		for _, account := range []string{"ann", "ann", "bob", "bob"} {
			_, err := EnqueueSync(t.Context(), app, account)
			require.NoError(t, err)
		}
		assert.Len(t, d.of("ann"), 1)
		assert.Len(t, d.of("bob"), 2)
		time.Sleep(90 * time.Minute)
		assert.Len(t, d.of("ann"), 2)
		time.Sleep(time.Hour)
	})
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TestNight: exports run in the window alone, on each day.
func TestNight(t *testing.T) {
	d := new(diary)
	inVirtualTime(t, d, func(t *testing.T, app *runtime.App) {
		midnight := time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)
		for day := range 3 {
			noon := midnight.Add(time.Duration(24*day)*time.Hour + 12*time.Hour)
			time.Sleep(time.Until(noon))
			before := len(d.of("orders"))
			_, err := EnqueueExport(t.Context(), app, "orders")
			require.NoError(t, err)
			time.Sleep(9 * time.Hour)
			assert.Len(t, d.of("orders"), before, "it is nine in the evening")
			time.Sleep(2 * time.Hour)
			assert.Len(t, d.of("orders"), before+1, "it is eleven")
		}
	}, Night)
}

// TestSaved_IndexedOnce: a burst of saves is one run, and one that does not end is one a
// minute.
func TestSaved_IndexedOnce(t *testing.T) {
	d := new(diary)
	inVirtualTime(t, d, func(t *testing.T, app *runtime.App) {
		for range 10 {
			require.NoError(t, Saved(t.Context(), app, "readme"))
			time.Sleep(time.Second)
		}
		assert.Empty(t, d.of("readme"))
		time.Sleep(5 * time.Second)
		runs := d.of("readme")
		require.Len(t, runs, 1)
		assert.InDelta(t, 14, runs[0].at.Seconds(), 0.1)
		for range 90 {
			require.NoError(t, Saved(t.Context(), app, "novel"))
			time.Sleep(time.Second)
		}
		assert.Len(t, d.of("novel"), 1)
	})
}

// TestImport_PoisonedTenant: a tenant whose imports hang holds one worker, and a paused
// task none.
func TestImport_PoisonedTenant(t *testing.T) {
	d := new(diary)
	d.do = func(ctx context.Context, _, of string) error {
		if strings.HasPrefix(of, "bad") {
			return sleep(ctx, 24*time.Hour)
		}
		return nil
	}
	inVirtualTime(t, d, func(t *testing.T, app *runtime.App) {
		for range 100 {
			_, err := EnqueueImport(t.Context(), app, "bad")
			require.NoError(t, err)
		}
		for range 100 {
			_, err := EnqueueImport(t.Context(), app, "good")
			require.NoError(t, err)
		}
		assert.Len(t, d.of("bad"), 1)
		assert.Len(t, d.of("good"), 100)
		require.NoError(t, app.PauseTask(t.Context(), "flow.Import"))
		_, err := EnqueueImport(t.Context(), app, "good")
		require.NoError(t, err)
		assert.Len(t, d.of("good"), 100)
		require.NoError(t, app.ResumeTask(t.Context(), "flow.Import"))
		assert.Len(t, d.of("good"), 101)
		recs, _, err := app.List(t.Context(), engine.Query{Name: "flow.Import", Limit: 1000, States: []engine.State{engine.StatePending, engine.StateRunning}})
		require.NoError(t, err)
		for _, r := range recs {
			require.NoError(t, app.Cancel(t.Context(), r.ID, "poisoned"))
		}
	})
}
