//go:build unix

package beside

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Engine is the side of an engine: it enqueues and works off messages as an
// App makes them.
type Engine struct{ engine.Engine }

// Insert implements [Queue].
func (e Engine) Insert(ctx context.Context, n int) error {
	ms := make([]*engine.Message, n)
	for i := range ms {
		m, err := message()
		if err != nil {
			return err
		}
		ms[i] = m
	}
	if one, ok := e.Engine.(engine.SingleInserter); ok && n == 1 {
		_, err := one.InsertOne(ctx, ms[0])
		return err
	}
	_, err := e.Engine.Insert(ctx, ms)
	return err
}

func message() (*engine.Message, error) {
	args, err := json.Marshal(Charge)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return &engine.Message{
		Name: Kind, Queue: engine.DefaultQueue, Args: args, Keep: time.Hour,
		Meta: engine.Meta{
			Version: engine.WirePlain, ID: id, EnqueuedAt: time.Now().UTC(), Signature: "0123456789abcdef", Retries: 3,
		},
	}, nil
}

// Serve implements [Queue].
func (e Engine) Serve(ctx context.Context, workers int, done func()) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	w := &engine.Worker{
		ID: uuid.NewString(), Slots: workers, Queues: []string{engine.DefaultQueue}, Names: []string{Kind},
		ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now,
		RunInline: func(_ context.Context, d *engine.Delivery, o *engine.Outcome) {
			var a Args
			if err := json.Unmarshal(d.Message.Args, &a); err != nil {
				*o = engine.Outcome{Kind: engine.OutcomeFail, Reason: err.Error()}
				return
			}
			*o = engine.Outcome{Kind: engine.OutcomeSucceed}
			done()
		},
	}
	go func() { result <- e.Engine.Serve(ctx, w) }()
	return func() error {
		cancel()
		return <-result
	}, nil
}
