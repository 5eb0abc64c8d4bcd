package bench_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// The work: charge a customer an amount, in a ledger that the worker has open.
// taskctx, watermill and the channel "json" carry its arguments as JSON; what
// the others carry is said where they are opened.

type ledger struct{ cents atomic.Int64 }

type chargeArgs struct {
	CustomerID string `json:"customerID"`
	Cents      int64  `json:"cents"`
}

func (a *chargeArgs) fields(f *wire.Fields) {
	f.String("customerID", &a.CustomerID)
	f.Int64("cents", &a.Cents)
}

type chargeContext struct {
	*runtime.Context
	Ledger *ledger
}

var ledgerKey = runtime.NewKey[*ledger]("ledger", runtime.PerWorker, nil)

var chargeTask = glue.NewTask[chargeArgs, runtime.Void](wire.Spec{
	Name: "bench.Charge", Func: "Charge", Retries: 3,
	Params: []wire.Param{{Name: "customerID", Sig: "string"}, {Name: "cents", Sig: "int64"}},
}, (*chargeArgs).fields)

func chargeCall(customerID string, cents int64) runtime.Call[runtime.Void] {
	a := chargeArgs{customerID, cents}
	return chargeTask.Call(a.fields, nil)
}

func newChargeContext(ctx *runtime.Context) (*chargeContext, error) {
	l, err := runtime.Stored(ctx, ledgerKey, func(context.Context) (*ledger, error) { return new(ledger), nil })
	if err != nil {
		return nil, err
	}
	return &chargeContext{ctx, l}, nil
}

// runner does charges; close waits for those under way.
type runner struct {
	name    string
	enqueue func(customerID string, cents int64)
	close   func()
}

// buffer is how many charges wait at most, where that can be set.
const buffer = 1024

func newChannel(_ *testing.B, workers int, done *sync.WaitGroup) runner {
	work := make(chan func(*ledger), buffer)
	closed := start(workers, func(l *ledger) {
		for f := range work {
			f(l)
		}
	})
	return runner{
		name: "channel",
		enqueue: func(_ string, cents int64) {
			work <- func(l *ledger) { l.cents.Add(cents); done.Done() }
		},
		close: func() { close(work); closed.Wait() },
	}
}

func newJSON(b *testing.B, workers int, done *sync.WaitGroup) runner {
	work := make(chan []byte, buffer)
	closed := start(workers, func(l *ledger) {
		for payload := range work {
			charge(b, l, payload, done)
		}
	})
	return runner{
		name:    "json",
		enqueue: func(customerID string, cents int64) { work <- encode(b, customerID, cents) },
		close:   func() { close(work); closed.Wait() },
	}
}

func newWatermill(b *testing.B, workers int, done *sync.WaitGroup) runner {
	pubsub := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: buffer}, watermill.NopLogger{})
	messages, err := pubsub.Subscribe(context.Background(), "charges")
	if err != nil {
		b.Fatal(err)
	}
	closed := start(workers, func(l *ledger) {
		for m := range messages {
			charge(b, l, m.Payload, done)
			m.Ack()
		}
	})
	return runner{
		name: "watermill",
		enqueue: func(customerID string, cents int64) {
			m := message.NewMessage(watermill.NewUUID(), encode(b, customerID, cents))
			if err := pubsub.Publish("charges", m); err != nil {
				panic(err)
			}
		},
		close: func() {
			if err := pubsub.Close(); err != nil {
				b.Error(err)
			}
			closed.Wait()
		},
	}
}

func newTask(b *testing.B, workers int, done *sync.WaitGroup) runner {
	app := runtime.New(memory.New(memory.Config{Wait: true}), runtime.Config{Workers: workers})
	glue.RegisterContext(app, newChargeContext)
	glue.Register(app, chargeTask, func(ctx *chargeContext, a *chargeArgs) (runtime.Void, error) {
		ctx.Ledger.cents.Add(a.Cents)
		done.Done()
		return runtime.Void{}, nil
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		b.Fatal(err)
	}
	return runner{
		name: "taskctx",
		enqueue: func(customerID string, cents int64) {
			if _, err := chargeCall(customerID, cents).Enqueue(ctx, app); err != nil {
				panic(err)
			}
		},
		close: func() {
			if err := app.Stop(ctx); err != nil {
				b.Error(err)
			}
		},
	}
}

func encode(b *testing.B, customerID string, cents int64) []byte {
	payload, err := json.Marshal(chargeArgs{customerID, cents})
	if err != nil {
		b.Error(err)
	}
	return payload
}

func charge(b *testing.B, l *ledger, payload []byte, done *sync.WaitGroup) {
	defer done.Done()
	var a chargeArgs
	if err := json.Unmarshal(payload, &a); err != nil {
		b.Error(err)
		return
	}
	l.cents.Add(a.Cents)
}

func start(n int, work func(*ledger)) *sync.WaitGroup {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { work(new(ledger)) })
	}
	return &wg
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return xs[len(xs)/2]
}
