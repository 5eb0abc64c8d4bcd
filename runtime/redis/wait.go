package redis

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
)

// lookEvery is how often an awaited task is looked at although no message of
// its end came.
const lookEvery = time.Second

// Wait implements [engine.Waiter].
func (e *Engine) Wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	return e.watch.Wait(ctx, id.String(), func(ctx context.Context) (*engine.Entry, error) { return e.Get(ctx, id) })
}

// linger is how long the subscription stays without a waiter: the next one
// often comes soon.
const linger = 5 * time.Second

// hearEnds listens for ends until nobody waits.
func (e *Engine) hearEnds() {
	ctx, cancel := context.WithCancel(e.closing)
	defer cancel()
	sub := e.db.Subscribe(ctx, e.endChannel)
	heard := sub.ChannelWithSubscriptions(redis.WithChannelSize(1000))
	defer sub.Close()
	last := time.NewTimer(linger)
	defer last.Stop()
	for {
		select {
		case m, ok := <-heard:
			if !ok {
				heard = nil
				continue
			}
			switch m := m.(type) {
			case *redis.Subscription:
				e.watch.TellAll() // ends may have been missed before
			case *redis.Message:
				e.watch.Tell(m.Payload)
			}
		case <-e.watch.Changed():
			last.Reset(linger)
		case <-last.C:
			if e.watch.End() {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
