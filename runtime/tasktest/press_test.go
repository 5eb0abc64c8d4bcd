package tasktest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// What follows is a user's package with a durable task, as taskgen would complete
// it.

var approved = runtime.NewSignal[string]("approved")

// kiosk is what the task is supplied with.
type kiosk struct {
	drafts, uploads int
	flaky           int  // how many uploads fail
	forgetful       bool // it does what a durable task must not
	runs            int
}

// Publish drafts a book, has its pages rendered, asks for approval, waits for a day
// and uploads it.
func Publish(ctx *runtime.Context, title string) (string, error) {
	k, err := runtime.Require[*kiosk](ctx)
	if err != nil {
		return "", err
	}
	k.runs++
	pages, err := runtime.Step(ctx, "draft", func(context.Context) (int, error) { k.drafts++; return 3, nil })
	if err != nil {
		return "", err
	}
	calls := make([]runtime.Call[string], pages)
	for i := range calls {
		calls[i] = RenderCall(title, i)
	}
	texts, err := runtime.All(ctx, "page", calls...)
	if err != nil {
		return "", err
	}
	by, err := approved.Await(ctx, 72*time.Hour)
	if errors.Is(err, runtime.ErrAwaitTimeout) {
		return "", runtime.Cancelled("nobody has approved it")
	}
	if err != nil {
		return "", err
	}
	if err := runtime.Rest(ctx, "embargo", 24*time.Hour); err != nil {
		return "", err
	}
	url, err := runtime.Step(ctx, "upload", func(context.Context) (string, error) {
		if k.uploads++; k.uploads <= k.flaky {
			return "", errors.New("no route")
		}
		return fmt.Sprint(texts, " by ", by), nil
	})
	if k.forgetful {
		url += fmt.Sprint(" in run ", k.runs)
	}
	return url, err
}

// Render renders a page.
func Render(_ *runtime.Context, title string, n int) (string, error) {
	return fmt.Sprint(title, "/", n), nil
}

type publishArgs struct{ title string }

func (a *publishArgs) fields(f *wire.Fields) { f.String("title", &a.title) }

type renderArgs struct {
	title string
	n     int
}

func (a *renderArgs) fields(f *wire.Fields) {
	f.String("title", &a.title)
	f.Int("n", &a.n)
}

var (
	publishTask = glue.NewTask[publishArgs, string](wire.Spec{
		Name: "press.Publish", Func: "Publish", Durable: true, Retries: 2, Params: []wire.Param{{Name: "title", Sig: "string"}},
	}, (*publishArgs).fields)
	renderTask = glue.NewTask[renderArgs, string](wire.Spec{
		Name: "press.Render", Func: "Render", Params: []wire.Param{{Name: "title", Sig: "string"}, {Name: "n", Sig: "int"}},
	}, (*renderArgs).fields)
)

func PublishCall(title string, opts ...runtime.Option) runtime.Call[string] {
	return publishTask.Call((&publishArgs{title}).fields, opts)
}

func RenderCall(title string, n int, opts ...runtime.Option) runtime.Call[string] {
	return renderTask.Call((&renderArgs{title, n}).fields, opts)
}

func RegisterPress(app *runtime.App) {
	glue.Register(app, publishTask, func(ctx *runtime.Context, a *publishArgs) (string, error) { return Publish(ctx, a.title) })
	glue.Register(app, renderTask, func(ctx *runtime.Context, a *renderArgs) (string, error) { return Render(ctx, a.title, a.n) })
}
