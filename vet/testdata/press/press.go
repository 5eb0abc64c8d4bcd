// Press publishes books: durable tasks that render pages and wait for people.
package press

import (
	"context"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// Desk is what steps work with.
//
//task:context
type Desk struct {
	*runtime.Context
	Store map[string]string `task:"supply"`
}

// Approved is what an editor sends.
var Approved = runtime.NewSignal[bool]("approved")

// Render renders one page.
//
//task:context
func Render(ctx context.Context, page int) (string, error) { return "", nil }

// Publish publishes a book.
//
//task:context
func Publish(ctx *runtime.Context, pages int) (string, error) {
	draft, err := runtime.Step(ctx, "draft", func(desk *Desk) (string, error) {
		return save(ctx, desk.Store) // want `ctx is the context around the step`
	})
	if err != nil {
		return "", err
	}
	var rendered []*runtime.Future[string]
	for i := range pages {
		rendered = append(rendered, runtime.Spawn(ctx, "page", RenderCall(i))) // want `Spawn has the same name in each turn of the loop`
	}
	if _, err := runtime.AwaitAll(ctx, rendered...); err != nil {
		return "", nil // want `the task returns nil for the error of AwaitAll, which may be ErrSuspended: return err`
	}
	ok, err := Approved.Await(ctx, 72*time.Hour)
	if err != nil || !ok {
		return "", err
	}
	runtime.Rest(ctx, "embargo", 24*time.Hour) // want `the error of Rest is dropped, which may be ErrSuspended`
	_, err = runtime.Step(ctx, "draft", func(ctx *Desk) (string, error) { // want `the name "draft" is used twice in a run`
		return save(ctx, ctx.Store)
	})
	return draft, err
}

// Remind reminds the editors.
//
//task:context
func Remind(ctx *runtime.Context, names []string) error {
	for day := 0; day < 3; day++ {
		if err := runtime.Rest(ctx, "day", 24*time.Hour); err != nil { // want `Rest has the same name in each turn of the loop`
			return err
		}
	}
	for range 2 {
		ok, _ := Approved.Await(ctx, time.Hour) // want `the error of Await is dropped, which may be ErrSuspended`
		if ok {
			return nil
		}
	}
	for {
		if err := runtime.Rest(ctx, "once", time.Hour); err != nil {
			return err
		}
		return nil
	}
}

func save(ctx context.Context, store map[string]string) (string, error) { return "", ctx.Err() }
