package webtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
	"github.com/taskctx/taskctx/runtime/wire"
)

// wide is a context type for each A and B.
type wide[A, B any] struct {
	*runtime.Context
	Prices webtest.Prices `task:"supply"`
	First  A              `task:"by=first"`
	Second func() (B, error)
}

type wideArgs[A, B any] struct{}

func (*wideArgs[A, B]) Run(*wide[A, B], *runtime.Result) error { return nil }

// The numbers of tasks and of contexts of a large program.
const wideTasks, wideContexts = 200, 60

// addWide registers tasks of a context type, as long as there are to be more.
func addWide[A, B any](app *runtime.App, contexts *int) {
	if *contexts == wideContexts {
		return
	}
	first := runtime.NewKey[A](fmt.Sprintf("wide.first%d", *contexts), runtime.PerProcess, nil)
	second := runtime.NewKey[B](fmt.Sprintf("wide.second%d", *contexts), runtime.PerTask, nil)
	glue.RegisterContext(app, func(ctx *runtime.Context) (*wide[A, B], error) { return &wide[A, B]{Context: ctx}, nil },
		glue.NeedSupply[webtest.Prices](), glue.NeedProvider(first), glue.NeedProvider(second, glue.NeedProvider(first)))
	for i := *contexts; i < wideTasks; i += wideContexts {
		glue.RegisterTask(app, &wire.Definition{Spec: wire.Spec{
			Name: fmt.Sprintf("wide.Task%03d", i), Func: "Task", Queue: fmt.Sprintf("wide%d", i%9), Params: []wire.Param{},
		}}, (*wideArgs[A, B])(nil))
	}
	*contexts++
}

func addWideRow[A any](app *runtime.App, contexts *int) {
	addWide[A, int](app, contexts)
	addWide[A, int8](app, contexts)
	addWide[A, int16](app, contexts)
	addWide[A, int32](app, contexts)
	addWide[A, int64](app, contexts)
	addWide[A, string](app, contexts)
	addWide[A, float32](app, contexts)
	addWide[A, float64](app, contexts)
}

// addWideTasks registers many tasks with many context types.
func addWideTasks(app *runtime.App) {
	contexts := new(int)
	addWideRow[int](app, contexts)
	addWideRow[int8](app, contexts)
	addWideRow[int16](app, contexts)
	addWideRow[int32](app, contexts)
	addWideRow[int64](app, contexts)
	addWideRow[string](app, contexts)
	addWideRow[float32](app, contexts)
	addWideRow[float64](app, contexts)
}

// TestGraph_OfALargeProgram: the graph has a bounded number of tasks and of contexts, and
// says how many are left out.
func TestGraph_OfALargeProgram(t *testing.T) {
	e := memory.New(memory.Config{})
	t.Cleanup(func() { assert.NoError(t, e.Close()) })
	app := runtime.New(e, runtime.Config{})
	addWideTasks(app)
	s := scaled{h: web.Handler(app, web.Config{})}
	page := s.page(t, "/graph")
	assert.Equal(t, 60, strings.Count(page, `<g class="g-task">`))
	assert.Contains(t, page, "and 140 more")
	assert.Equal(t, wideContexts, strings.Count(page, `<g class="g-context">`))
	assert.Equal(t, 60, strings.Count(page, `<g class="g-provider">`), "the picture has as many as the table")
	assert.Less(t, len(page), 1<<20)
}
