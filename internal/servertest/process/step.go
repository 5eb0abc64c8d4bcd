package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
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

const stepName = "process.step"

// Step is the task of worker processes: it notes each of its runs, sleeps, and
// returns its number.
var Step = glue.NewTask[StepArgs, int](wire.Spec{
	Name: stepName, Func: "step", Retries: 50, Delay: 10 * time.Millisecond,
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
	glue.Register(app, Step, func(ctx *runtime.Context, a *StepArgs) (int, error) {
		if path := os.Getenv(envLimited); path != "" {
			return a.N, limited(ctx, path, a)
		}
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

// envLimited names the file in which tasks with limits write down what they do.
const envLimited = "TASKCTX_TEST_LIMITED"

// Lease is the lease of worker processes.
const Lease = 1500 * time.Millisecond

// limitedLease is the lease of workers that run tasks with limits. While a lease is
// lost on a busy machine, a task may run twice; so it is long.
const limitedLease = 6 * time.Second

// WorkerLease is the lease of this worker process.
func WorkerLease() time.Duration {
	if os.Getenv(envLimited) != "" {
		return limitedLease
	}
	return Lease
}

// limited is a run of a step with a limit: it writes down when it begins and ends.
func limited(ctx *runtime.Context, path string, a *StepArgs) error {
	if err := noteLimited(path, "start", a.N, os.Getpid()); err != nil {
		return err
	}
	err := ctx.Sleep(time.Duration(a.Sleep) * time.Millisecond)
	return errors.Join(err, noteLimited(path, "end", a.N, os.Getpid()))
}

// noteLimited adds a line to the file: lines are whole, in the order in which they
// were written.
func noteLimited(path, what string, n, pid int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %d %d %d\n", what, n, pid, time.Now().UnixMicro())
	return errors.Join(err, f.Close())
}
