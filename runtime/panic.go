package runtime

import (
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
)

// ErrGoexit is the error of a task whose handler called runtime.Goexit, or of
// an Enqueue of which a hook did.
var ErrGoexit = errors.New("handler called runtime.Goexit")

// PanicError is the error of a task, or of a hook, that panicked.
type PanicError struct {
	// Value is what was passed to panic, and Stack where. It does not show what
	// functions were called with, which may be what is to be redacted.
	Value any
	Stack []byte
}

// panicked makes the error of a recovered panic: package runtime sets it to its
// PanicError, which its packages below cannot name.
var panicked = func(v any) error { return fmt.Errorf("panic: %s", printValue(v)) }

func init() { panicked = func(v any) error { return newPanicError(v) } }

func newPanicError(v any) *PanicError { return &PanicError{v, withoutArgs(debug.Stack())} }

// stackArgs matches the line of a call in a stack, up to its arguments: the
// words they are made of, in hex. Lines of files are indented.
var stackArgs = regexp.MustCompile(`(?m)^(\S.*\()[^()\n]+\)$`)

func withoutArgs(stack []byte) []byte { return stackArgs.ReplaceAll(stack, []byte("${1}...)")) }

// Error shows the value, not the stack.
func (e *PanicError) Error() string { return "panic: " + printValue(e.Value) }

// printValue formats a value of the user's, whose methods may panic themselves.
func printValue(v any) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T", v)
		}
	}()
	return fmt.Sprint(v)
}

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// safely calls a function of the user's and turns a panic into an error.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return f()
}

// isolated is safely for a goroutine that must survive: f may call Goexit too.
// It costs a goroutine.
func isolated(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := ErrGoexit
		defer func() { done <- err }()
		err = safely(f)
	}()
	return <-done
}

// message is err.Error() for an error of the user's, which may panic.
func message(err error) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T (its Error method panicked)", err)
		}
	}()
	return err.Error()
}
