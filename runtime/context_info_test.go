package runtime_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

type infoPrices map[string]int

type infoBase struct{ *runtime.Context }

type infoContext struct {
	*infoBase
	Prices infoPrices `task:"supply"`
	DB     *int       `task:"by=openDB"`
	Tx     func() (string, error)
	Mine   int `task:"-"`
}

type infoArgs struct{}

func (*infoArgs) Run(*infoContext, *runtime.Result) error { return nil }

// TestContexts tells what a task finds in its context, and what the app must be given.
func TestContexts(t *testing.T) {
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: discard})
	assert.Empty(t, app.Contexts())
	glue.RegisterContext(app, func(ctx *runtime.Context) (*infoBase, error) { return &infoBase{ctx}, nil })
	glue.RegisterTask(app, &wire.Definition{Spec: wire.Spec{Name: "info.Task", Func: "Task"}}, (*infoArgs)(nil))
	number, text := runtime.NewKey[*int]("main.openDB", runtime.PerProcess, nil), runtime.NewKey[string]("main.begin", runtime.PerTask, nil)
	glue.RegisterContext(app, func(*runtime.Context) (*infoContext, error) { return &infoContext{}, nil },
		glue.NeedContext[*infoBase](), glue.NeedSupply[infoPrices](), glue.NeedSupply[int](),
		glue.NeedProvider(number, glue.NeedSupply[int]()),
		glue.NeedProvider(text, glue.NeedProvider(number), glue.NeedContext[*infoBase]()))
	assert.Equal(t, []inspect.ContextInfo{
		{Type: "*runtime_test.infoBase"},
		{
			Type: "*runtime_test.infoContext", Tasks: []string{"info.Task"}, Contexts: []string{"*runtime_test.infoBase"},
			Supplies: []string{"runtime_test.infoPrices", "int"},
			Providers: []inspect.ProviderInfo{
				{Name: "main.openDB", Type: "*int", Scope: "process", Supplies: []string{"int"}},
				{Name: "main.begin", Type: "string", Scope: "task", Providers: []string{"main.openDB"}, Contexts: []string{"*runtime_test.infoBase"}},
			},
			Values: []inspect.ContextValue{
				{Name: "Prices", Type: "runtime_test.infoPrices", Supplied: true},
				{Name: "DB", Type: "*int", By: "openDB"},
				{Name: "Tx", Type: "func() (string, error)", Lazy: true, By: "main.begin"},
			},
		},
	}, app.Contexts())
}
