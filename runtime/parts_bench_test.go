package runtime_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// nowhere is an inserter that stores nothing.
type nowhere struct{}

func (nowhere) Insert(_ context.Context, ms []*runtime.Message) ([]runtime.Inserted, error) {
	ins := make([]runtime.Inserted, len(ms))
	for i, m := range ms {
		ins[i].ID = m.Meta.ID
	}
	return ins, nil
}

func (nowhere) InsertOne(_ context.Context, m *runtime.Message) (runtime.Inserted, error) {
	return runtime.Inserted{ID: m.Meta.ID}, nil
}

// BenchmarkEnqueue is what the App does to enqueue a task, without an engine.
func BenchmarkEnqueue(b *testing.B) {
	q := runtime.New(memory.New(), runtime.Config{}).Via(nowhere{})
	ctx := context.Background()
	b.ReportAllocs()
	for i := range b.N {
		if _, err := chargeCall("c-42", int64(i)).Enqueue(ctx, q); err != nil {
			b.Fatal(err)
		}
	}
}

// handsOver is an engine that hands its worker to the benchmark.
type handsOver struct {
	runtime.Engine
	worker chan *runtime.Worker
}

func (e handsOver) Serve(ctx context.Context, w *runtime.Worker) error {
	e.worker <- w
	<-ctx.Done()
	return nil
}

// BenchmarkDispatch is what the App does to run a task, without an engine: take
// a slot, decode, build the context, call, and decide.
func BenchmarkDispatch(b *testing.B) {
	e := handsOver{memory.New(), make(chan *runtime.Worker, 1)}
	app := runtime.New(e, runtime.Config{Workers: 1, Logger: slog.New(slog.DiscardHandler)})
	runtime.RegisterContext(app, newChargeContext)
	runtime.RegisterTask(app, &chargeTask, (*chargeArgs)(nil))
	if err := app.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	w := <-e.worker
	m, err := app.Prepare(context.Background(), chargeCall("c-42", 1999))
	if err != nil {
		b.Fatal(err)
	}
	m.Meta.ID = uuid.New()
	ctx := context.Background()
	var o runtime.Outcome
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		d := runtime.Delivery{Message: m}
		w.RunInline(ctx, &d, &o)
		if o.Kind != runtime.OutcomeSucceed {
			b.Fatal(o.Reason)
		}
	}
	b.StopTimer()
	if err := app.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}
