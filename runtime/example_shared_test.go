package runtime_test

import (
	"fmt"
	"sync"

	"github.com/taskctx/taskctx/runtime"
)

// charges counts what all tasks of this process have charged.
var charges = runtime.NewShared("charges", func() map[string]int { return map[string]int{} })

func ExampleShared() {
	runAsTask(func(ctx *runtime.Context) error {
		var children sync.WaitGroup
		for range 10 {
			children.Go(func() {
				_ = charges.Update(ctx, func(m *map[string]int) error { (*m)["c-42"] += 5; return nil })
			})
		}
		children.Wait()
		return charges.Update(ctx, func(m *map[string]int) error {
			fmt.Println(*m)
			return nil
		})
	})
	// Output: map[c-42:50]
}
