package runtime_test

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// pageTask is generated, in a program, of a task with queue=pages.
var pageTask = newUnit[string, int]("print.Page", func(s *runtime.Spec) { s.Queue = "pages" })

// printCatalog is a task that enqueues others, all or none, and waits for them.
func printCatalog(ctx *runtime.Context, texts []string) (int, error) {
	var b runtime.Batch
	var pages []*runtime.Handle[int]
	for i, text := range texts {
		// With this key a second attempt waits for the pages of the first.
		key := fmt.Sprintf("%s/%d", ctx.Metadata().TaskID, i)
		pages = append(pages, runtime.AddTo(&b, pageTask.call(text, runtime.WithKey(key, 24*time.Hour))))
	}
	if err := b.Enqueue(ctx, ctx.App()); err != nil {
		return 0, err
	}
	total := 0
	for _, h := range pages {
		n, err := h.Wait(runtime.AllowWait(ctx))
		if err != nil {
			return 0, err
		}
		total += n
	}
	if ctx.Metadata().Attempt == 0 {
		return 0, errFlaky // for the example: it runs again
	}
	return total, nil
}

// The pages have a queue of their own, and an app that serves no other: however
// many catalogs wait for pages, there are workers for them.
func ExampleAllowWait() {
	ctx := context.Background()
	eng := memory.New(memory.Config{})
	catalog := newUnit[[]string, int]("print.Catalog", retries(3))
	start := func(queue string) *runtime.App {
		app := runtime.New(eng, runtime.Config{Workers: 2, Queues: []string{queue}, Logger: discard})
		catalog.handle(app, printCatalog) // RegisterTasks, in a program
		pageTask.handle(app, func(_ *runtime.Context, text string) (int, error) { return len(text), nil })
		if err := app.Start(ctx); err != nil {
			panic(err)
		}
		return app
	}
	catalogs, pages := start("default"), start("pages")

	h, err := catalog.call([]string{"tea", "coffee"}).Enqueue(ctx, catalogs)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	printed, _, err := catalogs.List(ctx, engine.Query{Name: "print.Page"})
	fmt.Println(len(printed), "pages", err)
	stopApp(catalogs) // first those that wait
	stopApp(pages)
	// Output:
	// 9 <nil>
	// 2 pages <nil>
}
