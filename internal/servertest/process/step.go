package process

import (
	"context"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/wire"
)

// StepArgs are the arguments of a step.
type StepArgs struct {
	N     int
	Sleep int // milliseconds
}

func (a *StepArgs) fields(f *wire.Fields) {
	f.Int("n", &a.N)
	f.Int("sleep", &a.Sleep)
}

// Step is the task of worker processes: it notes each of its runs, sleeps, and
// returns its number.
var Step = runtime.NewTask[StepArgs, int](runtime.Spec{
	Name: "process.step", Func: "step", Retries: 50, Delay: 10 * time.Millisecond,
	Params: []wire.Param{{Name: "n", Sig: "int"}, {Name: "sleep", Sig: "int"}},
}, (*StepArgs).fields)

// StepCall is a call of Step.
func StepCall(n, sleep int, opts ...runtime.Option) runtime.Call[int] {
	a := StepArgs{n, sleep}
	return Step.Call(a.fields, opts)
}

// Run is a run of a step, as the ledger has it.
type Run struct{ N, Attempt, PID int }

// Register registers Step. note writes a run into the ledger. If it returns an
// error, it may be called again with the same id, even after it has written
// the run.
func Register(app *runtime.App, note func(ctx context.Context, id string, r Run) error) {
	runtime.Register(app, Step, func(ctx *runtime.Context, a *StepArgs) (int, error) {
		r := Run{a.N, ctx.Metadata().Attempt, os.Getpid()}
		id := uuid.NewString()
		// A run that cannot be noted did not happen: try until it is.
		for note(context.WithoutCancel(ctx), id, r) != nil {
			time.Sleep(10 * time.Millisecond)
		}
		if a.Sleep > 0 {
			if err := ctx.Sleep(time.Duration(a.Sleep) * time.Millisecond); err != nil {
				return 0, err
			}
		}
		return a.N, nil
	})
}
