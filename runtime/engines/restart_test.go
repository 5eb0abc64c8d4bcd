package engines_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
)

// An app is started, stopped and given tasks by many goroutines at once: none
// waits for ever, each call is answered as it must, and no task is lost or runs
// twice, on any engine.
//
// Proves: RELIABILITY 6, 8
func TestEngines_StartAndStop(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, url(t), func() runtime.Config {
				return runtime.Config{
					Workers: 4, Queues: []string{"asked"}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
				}
			})
			app := p.worker
			var mu sync.Mutex
			runs := make(map[int]int)
			glue.Register(app, askTask, func(_ *runtime.Context, a *askArgs) (answers, error) {
				mu.Lock()
				defer mu.Unlock()
				runs[a.depth]++
				return answers{Attempt: a.depth}, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			const callers, calls = 8, 12
			handles := make([]*runtime.Handle[answers], callers*calls)
			var wg sync.WaitGroup
			for g := range callers {
				wg.Go(func() {
					for i := range calls {
						n := g*calls + i
						var err error
						if handles[n], err = askCall(n, "").Enqueue(ctx, p.web); err != nil {
							t.Errorf("Enqueue: %v", err)
						}
						if (g+i)%2 == 0 {
							if err := app.Start(context.Background()); err != nil && !errors.Is(err, runtime.ErrStarted) {
								t.Errorf("Start: %v", err)
							}
						} else if err := app.Stop(ctx); err != nil {
							t.Errorf("Stop: %v", err)
						}
					}
				})
			}
			wg.Wait()
			for range 2 {
				if err := app.Stop(ctx); err != nil {
					t.Errorf("Stop again: %v", err)
				}
			}
			p.start(t)
			for n, h := range handles {
				if h == nil {
					continue
				}
				if got, err := h.Wait(ctx); err != nil || got.Attempt != n {
					t.Fatalf("task %d returned %d, %v", n, got.Attempt, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for n, times := range runs {
				if times != 1 {
					t.Errorf("task %d ran %d times", n, times)
				}
			}
		})
	}
}
