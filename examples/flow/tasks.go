package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/cron"
)

// Log is what the tasks do: they tell it, and work for as long as it says.
type Log func(ctx context.Context, what, of string) error

// Desk is the context of the tasks.
type Desk struct {
	*runtime.Context
	Log Log `task:"supply"`
}

// Call calls an API that gives each customer 100 calls a minute, and bears 20 calls at a
// time.
//
//task:context rateby=customer:100/m limit=20
func Call(ctx *Desk, customer string, order int) error { return ctx.Log(ctx, "call", customer) }

// Post posts to an account. The next one of the account waits until it has ended, also
// while it waits for its retry.
//
//task:context orderby=account retries=5 delay=1s
func Post(ctx *Desk, account string, entry int) error {
	return ctx.Log(ctx, fmt.Sprint("post ", entry), account)
}

// Sync brings an account up to date. One at a time runs for each; while one waits for
// its retry, another may go.
//
//task:context limitby=account:1
func Sync(ctx *Desk, account string) error { return ctx.Log(ctx, "sync", account) }

// Export runs at night.
//
//task:context queue=exports
func Export(ctx *Desk, table string) error { return ctx.Log(ctx, "export", table) }

// Window opens or closes the queue of exports. Two schedules call it.
//
//task:context
func Window(ctx *runtime.Context, open bool) error {
	if open {
		return ctx.App().Resume(ctx, "exports")
	}
	return ctx.App().Pause(ctx, "exports")
}

// Night has the exports run from ten in the evening to six in the morning.
func Night(app *runtime.App) {
	cron.Every(app, "0 22 * * *", WindowCall(true), runtime.EveryName("exports open"))
	cron.Every(app, "0 6 * * *", WindowCall(false), runtime.EveryName("exports closed"))
}

// Index indexes a document.
//
//task:context
func Index(ctx *Desk, doc string) error { return ctx.Log(ctx, "index", doc) }

// Saved has a document indexed 5 seconds after it was saved for the last time, and a
// minute after the first time at the latest.
func Saved(ctx context.Context, app runtime.Enqueuer, doc string) error {
	_, err := EnqueueIndex(ctx, app, doc, runtime.WithWaitingKey("index:"+doc),
		runtime.WithDelay(5*time.Second), runtime.WithReplaceFor(time.Minute))
	return err
}

// Import is a task of many tenants: one of them that hangs holds one worker.
//
//task:context limitby=tenant:1
func Import(ctx *Desk, tenant string) error { return ctx.Log(ctx, "import", tenant) }
