package runtime

import (
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/wire"
)

// NoDelay is a Spec.Delay with which a task is retried at once.
const NoDelay time.Duration = -1

// Spec is the annotation above a task function, as data. Generated code makes
// one for each task.
type Spec struct {
	// Name is the stable name on the wire, and Aliases are the old names that
	// the function still serves.
	Name    string
	Aliases []string
	// Func is the name of the Go function.
	Func string
	// Queue defaults to [engine.DefaultQueue].
	Queue string
	// Durable: the function remembers its steps; see [Step]. Only an
	// [engine.Journaler] can run it.
	Durable bool
	// Retries is the number of retries after the first run.
	Retries int
	// Delay is the wait before the first retry, by default 1 s; [NoDelay] is
	// none. Each further wait is Backoff times longer, by default 2, up to
	// MaxDelay, by default 1 h. Each is shortened by up to 10 % at random, so
	// that tasks which failed together do not come back together.
	Delay    time.Duration
	Backoff  float64
	MaxDelay time.Duration
	// Timeout is per attempt; zero is none.
	Timeout time.Duration
	// Priority is from 0 to 3, higher first.
	Priority int
	// Unique, if not zero, is how long a second enqueue of the same arguments
	// returns the first task, unless that one fails, is cancelled or is
	// deleted. UniqueHold, with [engine.HoldActive] or [engine.HoldWaiting],
	// holds the arguments by that rule instead, and Unique is then zero.
	Unique     time.Duration
	UniqueHold engine.KeyHold
	// Keep is how long the record stays after the task succeeded, and KeepFailed
	// after it failed or was cancelled; zero takes Config.Keep and
	// Config.KeepFailed.
	Keep, KeepFailed time.Duration
	// Limit, if not zero, is how many of the tasks run at a time, in all
	// processes; LimitBy is the same for each value of a parameter. OrderBy names
	// a parameter: for each value of it tasks run one at a time, in the order of
	// enqueueing. Rate, if not zero, is how many of their runs begin in a time, and
	// RateBy the same for each value of a parameter. Only an [engine.Limiter] can
	// run such a task.
	Limit   int
	LimitBy []LimitBy
	Rate    Rate
	RateBy  []RateBy
	OrderBy string
	// Tags are the default tags.
	Tags map[string]string
	// Params are the parameters on the wire, in order.
	Params []wire.Param
}

// Task is a task described by hand: how to enqueue a call with arguments of
// the struct A, and how to read them back. It holds no reference to the
// function itself, so that a task may enqueue itself. R is the type of the
// result, or [Void]. Generated code has a [Definition] instead.
type Task[A, R any] struct {
	def    Definition
	fields func(*A, *wire.Fields)
}

// NewTask describes a task. fields lists A's fields to [wire.Fields], for encoding
// and decoding alike; it is nil for a task without parameters.
func NewTask[A, R any](s Spec, fields func(*A, *wire.Fields)) *Task[A, R] {
	return &Task[A, R]{def: Definition{Spec: s}, fields: fields}
}

// Call encodes the arguments that args lists, and returns the call as a value.
// An argument that cannot be encoded is an error when it is enqueued.
func (t *Task[A, R]) Call(args func(*wire.Fields), opts []Option) Call[R] {
	f := wire.Encode()
	if args != nil {
		args(f)
	}
	return Call[R]{NewCall(&t.def, f, opts)}
}

// Register adds a task described by hand to the app: how to call its function
// with a context of type C and decoded arguments. C is context.Context,
// [*Context], or a type given to [RegisterContext]. Call it before the app
// starts.
func Register[C, A, R any](app *App, t *Task[A, R], fn func(C, *A) (R, error)) {
	app.register(&registration{
		def: &t.def, context: typeOf((*C)(nil)), call: callTask[C],
		alloc: func() (*run, any) {
			x := new(struct {
				run  run
				args handArgs[C, A, R]
			})
			x.args.fn = fn
			return &x.run, &x.args
		},
		list: func(args any, f *wire.Fields) {
			if t.fields != nil {
				t.fields(&args.(*handArgs[C, A, R]).args, f)
			}
		},
	})
}

// handTask is a registered task described by hand.
type handArgs[C, A, R any] struct {
	fn   func(C, *A) (R, error)
	args A
}

func (h *handArgs[C, A, R]) Run(ctx C, result *Result) error {
	v, err := h.fn(ctx, &h.args)
	return result.JSON(&v, err)
}

// Void is the result of a task without one.
type Void = wire.Void
