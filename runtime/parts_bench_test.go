package runtime_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
)

// nowhere is an inserter that stores nothing.
type nowhere struct{}

func (nowhere) Insert(_ context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	ins := make([]engine.Inserted, len(ms))
	for i, m := range ms {
		ins[i].ID = m.Meta.ID
	}
	return ins, nil
}

func (nowhere) InsertOne(_ context.Context, m *engine.Message) (engine.Inserted, error) {
	return engine.Inserted{ID: m.Meta.ID}, nil
}

// BenchmarkEnqueue is what the App does to enqueue a task, without an engine.
func BenchmarkEnqueue(b *testing.B) {
	q := runtime.New(memory.New(memory.Config{}), runtime.Config{}).Via(nowhere{})
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
	engine.Engine
	worker chan *engine.Worker
}

func (e handsOver) Serve(ctx context.Context, w *engine.Worker) error {
	e.worker <- w
	<-ctx.Done()
	return nil
}

// BenchmarkDispatch is what the App does to run a task, without an engine: take
// a slot, decode, build the context, call, and decide.
func BenchmarkDispatch(b *testing.B) {
	e := handsOver{memory.New(memory.Config{}), make(chan *engine.Worker, 1)}
	app := runtime.New(e, runtime.Config{Workers: 1, Logger: slog.New(slog.DiscardHandler)})
	glue.RegisterContext(app, newChargeContext)
	glue.RegisterTask(app, &chargeTask, (*chargeArgs)(nil))
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
	var o engine.Outcome
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		d := engine.Delivery{Message: m}
		w.RunInline(ctx, &d, &o)
		if o.Kind != engine.OutcomeSucceed {
			b.Fatal(o.Reason)
		}
	}
	b.StopTimer()
	if err := app.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}
