package memory_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// The engine is bounded: what is too much is an error, not memory.
func ExampleConfig() {
	app := runtime.New(memory.New(memory.Config{Capacity: 2}), runtime.Config{})
	for range 3 {
		_, err := hello.Call(func(*wire.Fields) {}, nil).Enqueue(context.Background(), app)
		fmt.Println(errors.Is(err, engine.ErrQueueFull))
	}
	// Output:
	// false
	// false
	// true
}

// hello is a task, as taskgen describes it.
var hello = glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "example.Hello", Func: "Hello"}, nil)
