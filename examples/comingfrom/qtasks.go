package comingfrom

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// ImportConfig is a component of the app, found by its type.
type ImportConfig struct{ Pause time.Duration }

// Import imports a file, and says how many rows it had.
//
//task:context timeout=30s
func Import(ctx *runtime.Context, file string) (int, error) {
	log := ctx.Logger("import") // without a name, the task's
	cfg, _ := runtime.Supplied[ImportConfig](ctx)
	if err := ctx.Sleep(cfg.Pause); err != nil {
		return 0, err // the task has to end
	}
	switch file {
	case "":
		return 0, runtime.Cancelled("nothing to import") // not a failure: no retry
	case "unknown":
		return 0, runtime.Trigger(slog.String("file", file)) // ask the app's hooks
	}
	rec, err := ctx.Record() // its own; app.Lookup for any other
	if err != nil {
		return 0, err
	}
	log.Info("imported", "file", file, "queue", rec.Queue)
	return len(file), nil
}

// skipUnknown is a hook, for Config.OnTrigger: it supplies the result of a task
// that asks about a file.
func skipUnknown(_ *runtime.Context, t *runtime.TriggerError) (result any, handled bool, err error) {
	return -1, len(t.Attrs) > 0 && t.Attrs[0].Key == "file", nil
}

// CountUp yields the n numbers after n; each goes to addTwo, in order, and what
// that returns is the task's result.
//
//task:context each=addTwo
func CountUp(ctx *runtime.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(n+i+1, nil) {
				return
			}
		}
	}
}

func addTwo(_ *runtime.Context, v int) (int, error) { return v + 2, nil }

// countFromFive waits for the result, which is a []int.
func countFromFive(ctx context.Context, app *runtime.App) ([]int, error) {
	h, err := EnqueueCountUp(ctx, app, 5)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	return h.Wait(ctx)
}

// imports counts what all tasks of the process have imported.
var imports = runtime.NewShared[int]("imports", nil)

// CountImport counts one more.
//
//task:context
func CountImport(ctx *runtime.Context) (total int, err error) {
	err = imports.Update(ctx, func(n *int) error {
		*n++
		total = *n
		return nil
	})
	return total, err
}
