package runtime_test

import (
	"fmt"

	"github.com/taskctx/taskctx/runtime"
)

// A task's progress is on its record, for everybody to see.
func ExampleContext_Progress() {
	runAsTask(func(ctx *runtime.Context) error {
		ctx.Progress(3, 10, "charging")
		rec, err := ctx.Reload()
		if err != nil {
			return err
		}
		fmt.Println(rec.State, rec.Progress.Done, rec.Progress.Total, rec.Progress.Note)
		return nil
	})
	// Output: running 3 10 charging
}
