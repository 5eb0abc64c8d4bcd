package durable

import (
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// Subscribe charges a customer each month. After a year it goes on in a successor:
// a journal is read in every run, and should not grow for ever.
//
//task:context durable retries=10
func Subscribe(ctx *BankContext, account string, cents int64, month int) error {
	for last := month + 12; month < last; month++ {
		name := fmt.Sprint("month ", month)
		if _, err := runtime.Step(ctx, name, func(ctx *BankContext) (string, error) {
			return ctx.Bank.Transfer(ctx, account+" "+name, account, cents)
		}); err != nil {
			return err
		}
		if err := runtime.Rest(ctx, "after "+name, 30*24*time.Hour); err != nil {
			return err
		}
	}
	// What a task enqueues otherwise than by Spawn is not remembered: the key makes
	// it one successor, however often this is retried.
	key := runtime.WithKey("successor of "+ctx.Metadata().TaskID.String(), 24*time.Hour)
	_, err := EnqueueSubscribe(ctx, ctx.App(), account, cents, month, key)
	return err
}
