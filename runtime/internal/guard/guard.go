package guard

import (
	"errors"
	"fmt"
)

// as is errors.As for the types above; a user's Unwrap, Is or As may panic.
func As[E error](err error) (target E, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	ok = errors.As(err, &target)
	return target, ok
}

// is is errors.Is, for the same reason.
func Is(err, target error) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return errors.Is(err, target)
}

// ErrGoexit is the error of a task whose handler called runtime.Goexit, or of
// an Enqueue of which a hook did.
var ErrGoexit = errors.New("handler called runtime.Goexit")

// panicked makes the error of a recovered panic: package runtime sets it to its
// PanicError, which its packages below cannot name.
var Panicked = func(v any) error { return fmt.Errorf("panic: %s", Print(v)) }

// printValue formats a value of the user's, whose methods may panic themselves.
func Print(v any) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T", v)
		}
	}()
	return fmt.Sprint(v)
}

// safely calls a function of the user's and turns a panic into an error.
func Call(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Panicked(p)
		}
	}()
	return f()
}

// isolated is safely for a goroutine that must survive: f may call Goexit too.
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

// message is err.Error() for an error of the user's, which may panic.
func Text(err error) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T (its Error method panicked)", err)
		}
	}()
	return err.Error()
}
