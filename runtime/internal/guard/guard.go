// Package guard calls the user's code and reads its errors, though that code
// may panic or call runtime.Goexit.
package guard

import (
	"errors"
	"fmt"
)

// As is errors.As for a user's error, whose Unwrap, Is or As may panic.
func As[E error](err error) (target E, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	ok = errors.As(err, &target)
	return target, ok
}

// Is is errors.Is for a user's error.
func Is(err, target error) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return errors.Is(err, target)
}

// ErrGoexit is the error of a task whose handler called runtime.Goexit, or of
// an Enqueue whose hook did.
var ErrGoexit = errors.New("handler called runtime.Goexit")

// Panicked makes the error of a recovered panic. Package runtime sets it to make
// its PanicError, when the program starts.
var Panicked = func(v any) error { return fmt.Errorf("panic: %s", Print(v)) }

// Print formats a user's value, whose methods may panic themselves.
func Print(v any) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T", v)
		}
	}()
	return fmt.Sprint(v)
}

// Call calls a user's function and turns a panic into an error.
func Call(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Panicked(p)
		}
	}()
	return f()
}

// Isolated is Call for a goroutine that must survive: f may call Goexit too.
// It costs a goroutine.
func Isolated(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := ErrGoexit
		defer func() { done <- err }()
		err = Call(f)
	}()
	return <-done
}

// Text is err.Error() for a user's error, which may panic.
func Text(err error) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T (its Error method panicked)", err)
		}
	}()
	return err.Error()
}
