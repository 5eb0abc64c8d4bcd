package runtime_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// BenchmarkStep is a step of a durable task on the memory engine: a context and a
// scope of its own, the function, and its entry in the journal. Each task takes a
// thousand, whose names are made before.
func BenchmarkStep(b *testing.B) {
	names := make([]string, 1000)
	for i := range names {
		names[i] = "step " + strconv.Itoa(i)
	}
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 1, Logger: slog.New(slog.DiscardHandler)})
	u := newUnit[int, int]("test.Steps", durably)
	u.handle(app, func(ctx *runtime.Context, n int) (int, error) {
		for i := range n {
			_, err := runtime.Step(ctx, names[i], func(context.Context) (int, error) { return i, nil })
			if err != nil {
				return 0, err
			}
		}
		return n, nil
	})
	if err := app.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= len(names) {
		h := enqueue(b, app, u.call(min(left, len(names))))
		if _, err := h.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := app.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}
