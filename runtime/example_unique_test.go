package runtime_test

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// A call that is unique for a time is the same task, however often it is
// enqueued meanwhile.
func ExampleWithUnique() {
	remind := newUnit[string, runtime.Void]("billing.Remind") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	ctx := context.Background()
	first, err := remind.call("c-42", runtime.WithUnique(time.Hour)).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	second, err := remind.call("c-42", runtime.WithUnique(time.Hour)).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	other, err := remind.call("c-43", runtime.WithUnique(time.Hour)).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(second.Existing(), second.ID() == first.ID())
	fmt.Println(other.Existing())
	// Output:
	// true true
	// false
}
