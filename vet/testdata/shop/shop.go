// Shop takes orders over HTTP, and charges and ships them in tasks.
package shop

import (
	"context"
	"database/sql"
	"net/http"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// Shop serves the orders.
type Shop struct {
	DB  *sql.DB
	App *runtime.App
}

// Charge charges a card.
//
//task:context unique=24h redact=card
func Charge(ctx context.Context, order int64, card string) error {
	if order == 0 {
		runtime.Cancelled("no order") // want `runtime.Cancelled is an error that does nothing unless the task returns it`
	}
	return nil
}

// Ship sends the goods.
//
//task:context
func Ship(ctx context.Context, order int64) error { return nil }

// Order stores an order, and enqueues its tasks.
func (s *Shop) Order(w http.ResponseWriter, r *http.Request) {
	if err := s.order(r.Context(), 1, r.FormValue("card")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *Shop) order(ctx context.Context, id int64, card string) error {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES ($1)", id); err != nil {
		return err
	}
	if _, err := EnqueueCharge(ctx, s.App, id, card); err != nil { // want `the task is enqueued beside the open transaction tx`
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = EnqueueShip(ctx, s.App, id) // committed: fine
	return err
}

// again enqueues in the transaction, by what the engine's package makes of it.
func (s *Shop) again(ctx context.Context, id int64, in func(*sql.Tx) runtime.Enqueuer) error {
	tx, err := s.DB.Begin()
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE orders SET again = true WHERE id = $1", id); err != nil {
		tx.Rollback()
		return err
	}
	if _, err := EnqueueShip(ctx, in(tx), id); err != nil {
		tx.Rollback()
		return err
	}
	if id < 0 {
		tx.Rollback()
		_, err := EnqueueShip(ctx, s.App, -id) // rolled back: fine
		return err
	}
	var b runtime.Batch
	runtime.AddTo(&b, ShipCall(id))
	if err := b.Enqueue(ctx, s.App); err != nil { // want `the task is enqueued beside the open transaction tx`
		return err
	}
	return tx.Commit()
}

// many forgets its batch, and a call.
func (s *Shop) many(ctx context.Context, ids []int64) int {
	var b, sent runtime.Batch
	for _, id := range ids {
		runtime.AddTo(&b, ShipCall(id)) // want `the calls in b are never enqueued: call b.Enqueue`
		runtime.AddTo(&sent, ShipCall(id))
		ShipCall(id) // want `ShipCall makes a call that nobody enqueues`
	}
	if err := sent.Enqueue(ctx, s.App); err != nil {
		return 0
	}
	return b.Len()
}

// Close is called by the last order of the day.
//
//task:context
func Close(ctx *runtime.Context) error {
	return ctx.App().Stop(ctx) // want `Stop waits for running tasks, and so for this one`
}

// Refund is a method, and a task all the same.
//
//task:context
func (s *Shop) Refund(ctx context.Context, order int64) error {
	time.Sleep(time.Second) // want `time.Sleep in a task goes on when the task must stop`
	return nil
}
