package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// silentStore is an engine whose store does not answer while a memo is saved.
type silentStore struct {
	*memory.Engine
	saves []json.RawMessage
}

func (e *silentStore) Serve(ctx context.Context, w *engine.Worker) error {
	own := *w
	own.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
		d.Memo = silentMemo{d.Memo, e}
		w.RunInline(ctx, d, o)
	}
	return e.Engine.Serve(ctx, &own)
}

type silentMemo struct {
	engine.Memo
	e *silentStore
}

func (m silentMemo) SaveMemo(ctx context.Context, memo json.RawMessage) error {
	m.e.saves = append(m.e.saves, memo)
	<-ctx.Done()
	return context.Cause(ctx)
}

// A store that is silent blocks neither a handler that reports its progress, nor
// the end of its run.
//
// Proves: RELIABILITY 25
func TestProgress_DoesNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &silentStore{Engine: newMemory(t)}
		app := runtime.New(engine, runtime.Config{Logger: silent, KeepLogs: 10})
		u := newUnit[int, runtime.Void]("test.Silent")
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			began := time.Now()
			for i := range int64(100) {
				ctx.Progress(i, 100, "")
				ctx.Logger().Info("line")
			}
			if _, err := ctx.Reload(); err != nil {
				return runtime.Void{}, err
			}
			if took := time.Since(began); took > 0 {
				return runtime.Void{}, fmt.Errorf("blocked for %s", took)
			}
			return runtime.Void{}, ctx.Sleep(12 * time.Second)
		})
		start(t, app)
		began := time.Now()
		h, err := u.call(0).Enqueue(context.Background(), app)
		require.NoError(t, err)
		_, err = h.Wait(context.Background())
		require.NoError(t, err)
		assert.Less(t, time.Since(began), 12*time.Second+500*time.Millisecond)
		assert.LessOrEqual(t, len(engine.saves), 4, "each save has 5 s")
		assert.GreaterOrEqual(t, len(engine.saves), 2)
		rec, err := h.Record(context.Background())
		require.NoError(t, err)
		assert.EqualValues(t, 99, rec.Progress.Done)
		assert.Len(t, rec.Logs, 10)
		require.NoError(t, app.Stop(context.Background()))
	})
}

// Proves: FEATURES 32
func TestKeepLogs_AsManyAsConfigured(t *testing.T) {
	const lines = 1000
	app := newUnitApp(t, runtime.Config{KeepLogs: lines})
	u := newUnit[int, runtime.Void]("test.Wordy")
	u.handle(app, func(ctx *runtime.Context, size int) (runtime.Void, error) {
		log := ctx.Logger()
		for i := range lines {
			log.Info("a customer was synchronised", "customer", i, "took", 13*i, "note", strings.Repeat("x", size%7)+fmt.Sprint(i*i))
		}
		if size > 10 { // nothing that compresses
			x := uint64(88172645463325252)
			for range lines {
				var b strings.Builder
				for b.Len() < size {
					x ^= x << 13
					x ^= x >> 7
					x ^= x << 17
					fmt.Fprintf(&b, "%x", x)
				}
				log.Info(b.String())
			}
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	for _, size := range []int{3, 1000} {
		h, err := u.call(size).Enqueue(context.Background(), app)
		require.NoError(t, err)
		_, err = h.Wait(context.Background())
		require.NoError(t, err)
		rec, err := h.Record(context.Background())
		require.NoError(t, err)
		assert.Equal(t, lines, len(rec.Logs)+rec.LogsDropped)
		if size < 10 {
			assert.Len(t, rec.Logs, lines)
			assert.Contains(t, rec.Logs[0].Attrs, "customer=0")
		} else {
			assert.Greater(t, len(rec.Logs), 50)
			assert.Positive(t, rec.LogsDropped)
		}
		entry, err := app.Engine().Get(context.Background(), h.ID())
		require.NoError(t, err)
		assert.LessOrEqual(t, len(entry.Memo), engine.MaxMemo)
	}
}

// Proves: FEATURES 74
func TestContext_RecordAfterTheRun(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Logger: slog.New(slog.DiscardHandler)})
	var late *runtime.Context
	u := newUnit[int, runtime.Void]("test.Late")
	u.handle(app, func(ctx *runtime.Context, i int) (runtime.Void, error) {
		if i == 0 {
			late = ctx
		}
		_, err := ctx.Record()
		return runtime.Void{}, err
	})
	start(t, app)
	for i := range 20 { // the run has let go of everything when its worker takes another task
		_, err := await(t, app, u.call(i))
		require.NoError(t, err)
	}
	require.NoError(t, app.Stop(context.Background()))
	_, err := late.Record()
	assert.True(t, errors.Is(err, runtime.ErrTaskDone), "%v", err)
	_, err = late.Reload()
	assert.True(t, errors.Is(err, runtime.ErrTaskDone), "%v", err)
}
