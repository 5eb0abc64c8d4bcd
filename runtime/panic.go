package runtime

import (
	"regexp"
	"runtime/debug"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// PanicError is the error of a task, or of a hook, that panicked.
type PanicError struct {
	// Value is the argument of panic, and Stack its place. Stack leaves out
	// the arguments of functions, which may be redacted values.
	Value any
	Stack []byte
}

func init() { guard.Panicked = func(v any) error { return newPanicError(v) } }

func newPanicError(v any) *PanicError { return &PanicError{v, withoutArgs(debug.Stack())} }

// stackArgs matches the line of a call in a stack, up to its arguments in hex.
// Lines of files are indented.
var stackArgs = regexp.MustCompile(`(?m)^(\S.*\()[^()\n]+\)$`)

func withoutArgs(stack []byte) []byte { return stackArgs.ReplaceAll(stack, []byte("${1}...)")) }

// Error shows the value, not the stack.
func (e *PanicError) Error() string { return "panic: " + guard.Print(e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
