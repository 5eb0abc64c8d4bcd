package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

type pressArgs struct{ n int }

func (a *pressArgs) fields(f *wire.Fields) { f.Int("n", &a.n) }

func pressTask(name string, durable bool) *glue.Task[pressArgs, int] {
	return glue.NewTask[pressArgs, int](wire.Spec{
		Name: "press." + name, Func: name, Durable: durable, Params: []wire.Param{{Name: "n", Sig: "int"}},
	}, (*pressArgs).fields)
}

var (
	publishTask = pressTask("Publish", true)
	chapterTask = pressTask("Chapter", true)
	pageTask    = pressTask("Page", false)
	approved    = runtime.NewSignal[string]("approved")
)

func call(t *glue.Task[pressArgs, int], n int) runtime.Call[int] {
	return t.Call((&pressArgs{n}).fields, nil)
}

// seedPress is a command of the scripts: it leaves a book of two chapters, one of
// which waits for an approval, on the engine that its argument names.
func seedPress() {
	if err := seedBook(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func seedBook(ctx context.Context, url string) (err error) {
	e, err := engines.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	app := runtime.New(e, runtime.Config{Logger: slog.New(slog.DiscardHandler)})
	glue.Register(app, pageTask, func(_ context.Context, a *pressArgs) (int, error) { return a.n, nil })
	glue.Register(app, chapterTask, func(ctx context.Context, a *pressArgs) (int, error) {
		if a.n == 2 {
			_, err := approved.Await(ctx, 0)
			return 0, err
		}
		_, err := runtime.All(ctx, "page", call(pageTask, 1), call(pageTask, 2))
		return a.n, err
	})
	glue.Register(app, publishTask, func(ctx context.Context, _ *pressArgs) (int, error) {
		_, err := runtime.Step(ctx, "draft", func(context.Context) (string, error) { return "call me \x1b[31mishmael", nil })
		if err == nil {
			_, err = runtime.All(ctx, "chapter", call(chapterTask, 1), call(chapterTask, 2))
		}
		return 0, err
	})
	if err := app.Start(ctx); err != nil {
		return err
	}
	h, err := call(publishTask, 0).Enqueue(ctx, app)
	if err != nil {
		return err
	}
	if err := untilWaiting(ctx, app, h.ID(), 3); err != nil {
		return err
	}
	if err := os.WriteFile("book.id", []byte(h.ID().String()), 0o644); err != nil {
		return err
	}
	return app.Stop(ctx)
}

// untilWaiting waits until the first child of the task has ended and the second one
// waits.
func untilWaiting(ctx context.Context, app *runtime.App, id uuid.UUID, entries int) error {
	for range 10_000 {
		js, err := app.Journal(ctx, id)
		if err != nil {
			return err
		}
		if len(js) == entries && js[1].Came > 0 {
			r, err := app.Lookup(ctx, js[2].Child)
			if err == nil && r.State == engine.StateWaiting {
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the book does not wait")
}
