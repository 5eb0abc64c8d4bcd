package glue

import (
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/internal/link"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Task is a task described by hand: how to enqueue a call with arguments of
// the struct A, and how to read them back. It holds no reference to the
// function itself, so that a task may enqueue itself. R is the type of the
// result, or [wire.Void]. Generated code has a [wire.Definition] instead.
type Task[A, R any] struct {
	def    wire.Definition
	fields func(*A, *wire.Fields)
}

// NewTask describes a task. fields lists A's fields to [wire.Fields], for encoding
// and decoding alike; it is nil for a task without parameters.
func NewTask[A, R any](s wire.Spec, fields func(*A, *wire.Fields)) *Task[A, R] {
	return &Task[A, R]{def: wire.Definition{Spec: s}, fields: fields}
}

// Call encodes the arguments that args lists, and returns the call as a value.
// An argument that cannot be encoded is an error when it is enqueued.
func (t *Task[A, R]) Call(args func(*wire.Fields), opts []runtime.Option) runtime.Call[R] {
	f := wire.Encode()
	if args != nil {
		args(f)
	}
	return runtime.Call[R]{AnyCall: runtime.NewCall(&t.def, f, opts)}
}

// Register adds a task described by hand to the app: how to call its function
// with a context of type C and decoded arguments. C is context.Context,
// [*runtime.Context], or a type given to [RegisterContext]. Call it before the app
// starts.
func Register[C, A, R any](app *runtime.App, t *Task[A, R], fn func(C, *A) (R, error)) {
	app.Link(&link.Task{
		Def: &t.def, Context: link.TypeOf((*C)(nil)), Call: callTask[C],
		Hand: &link.Hand{
			Args: link.TypeOf((*handArgs[C, A, R])(nil)),
			Init: func(args any) { args.(*handArgs[C, A, R]).fn = fn },
			List: func(args any, f *wire.Fields) {
				if t.fields != nil {
					t.fields(&args.(*handArgs[C, A, R]).args, f)
				}
			},
		},
	})
}

// handArgs are the arguments of a task described by hand.
type handArgs[C, A, R any] struct {
	fn   func(C, *A) (R, error)
	args A
}

// Run calls the task's function.
func (h *handArgs[C, A, R]) Run(ctx C, result *runtime.Result) error {
	v, err := h.fn(ctx, &h.args)
	return result.JSON(&v, err)
}
