package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// pageTask is generated, in a program.
var pageTask = newUnit[string, int]("print.Page")

// printCatalog is a durable task: it has its pages printed, each once, however often
// it is retried, and holds no worker while it waits for them.
func printCatalog(ctx *runtime.Context, texts []string) (int, error) {
	calls := make([]runtime.Call[int], len(texts))
	for i, text := range texts {
		calls[i] = pageTask.call(text) // PageCall(text), in a program
	}
	sizes, err := runtime.All(ctx, "page", calls...)
	if err != nil {
		return 0, err // until they are printed: runtime.ErrSuspended
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	if ctx.Metadata().Attempt == 0 {
		return 0, errFlaky // for the example: it runs again
	}
	return total, nil
}

// A task and its children, on one worker.
func ExampleAll() {
	ctx := context.Background()
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 1, Logger: discard})
	catalog := newUnit[[]string, int]("print.Catalog", retries(3), durably) // task:context durable retries=3
	catalog.handle(app, printCatalog)                                       // RegisterTasks, in a program
	pageTask.handle(app, func(_ *runtime.Context, text string) (int, error) { return len(text), nil })
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	h, err := catalog.call([]string{"tea", "coffee"}).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	printed, _, err := app.List(ctx, engine.Query{Name: "print.Page"})
	fmt.Println(len(printed), "pages", err)
	stopApp(app)
	// Output:
	// 9 <nil>
	// 2 pages <nil>
}

// An approval by a person, which may come days later, or before.
func ExampleSignal() {
	ctx := context.Background()
	type approval struct{ By string }
	approved := runtime.NewSignal[approval]("approved")
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: discard})
	order := newUnit[string, string]("shop.Order", durably)
	order.handle(app, func(ctx *runtime.Context, item string) (string, error) {
		a, err := approved.Await(ctx, 72*time.Hour)
		switch {
		case errors.Is(err, runtime.ErrAwaitTimeout):
			return "", runtime.Cancelled("nobody approved it")
		case err != nil:
			return "", err
		}
		return runtime.Step(ctx, "order", func(context.Context) (string, error) { return item + ", approved by " + a.By, nil })
	})
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	h, err := order.call("coffee").Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	if err := approved.Send(ctx, app, h.ID(), approval{By: "ann"}); err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	stopApp(app)
	// Output: coffee, approved by ann <nil>
}
