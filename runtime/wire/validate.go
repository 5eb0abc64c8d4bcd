package wire

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Validator is implemented by types of parameters that can judge their values.
// The value is validated when it is enqueued: if it is refused, that is an
// error and nothing is enqueued. It is validated again before the task runs,
// since the task may come from another version or from elsewhere; there a
// refusal fails the task without a retry. The elements of a slice are
// validated each, nil pointers not at all.
type Validator interface{ Validate() error }

// InvalidError is an argument that its own Validate refused.
type InvalidError struct {
	// Param is the name of the parameter.
	Param string
	// Err is the error of Validate, or a runtime.PanicError.
	Err error

	hide bool // hides the text, which may show a redacted value
}

func (e *InvalidError) Error() string {
	if e.hide {
		return fmt.Sprintf("parameter %q is not valid", e.Param)
	}
	return fmt.Sprintf("parameter %q is not valid: %s", e.Param, guard.Text(e.Err))
}

// GoString is Error: no format shows a redacted argument.
func (e *InvalidError) GoString() string { return e.Error() }

// Unwrap returns the error of Validate.
func (e *InvalidError) Unwrap() error { return e.Err }

// HideText leaves the text of Validate's error out of this one's, since it may
// show a redacted value.
func (e *InvalidError) HideText() { e.hide = true }

// validates says where the values of a type have a Validate method.
type validates uint8

const (
	validatesNot      validates = iota
	validatesSelf               // a pointer to the value has it
	validatesPointer            // the value is a pointer that has it
	validatesElements           // the elements of the slice have it
	validatesPointers           // they are pointers that have it
)

var (
	validatorType = reflect.TypeFor[Validator]()
	validatorsOf  sync.Map // of reflect.Type to validates
)

// howValid returns how to validate the target of a pointer of type t.
func howValid(t reflect.Type) validates {
	if how, ok := validatorsOf.Load(t); ok {
		return how.(validates)
	}
	how, v := validatesNot, t.Elem()
	switch {
	case t.Implements(validatorType):
		how = validatesSelf
	case v.Kind() == reflect.Pointer && v.Implements(validatorType):
		how = validatesPointer
	case v.Kind() != reflect.Slice && v.Kind() != reflect.Array:
	case v.Elem().Kind() == reflect.Pointer && v.Elem().Implements(validatorType):
		how = validatesPointers
	case reflect.PointerTo(v.Elem()).Implements(validatorType):
		how = validatesElements
	}
	validatorsOf.Store(t, how)
	return how
}

// validate asks the value at p. Only the first refusal counts, and any other
// error wins over it: an unreadable value is not refused.
func (f *Fields) validate(name string, p any) {
	how := howValid(reflect.TypeOf(p))
	if how == validatesNot || f.err != nil || f.refused != nil || name == resultName {
		return
	}
	if err := guard.Call(func() error { return how.check(p) }); err != nil {
		f.refused = &InvalidError{Param: name, Err: err}
	}
}

func (how validates) check(p any) error {
	if how == validatesSelf {
		return p.(Validator).Validate()
	}
	v := reflect.ValueOf(p).Elem()
	if how == validatesPointer {
		if v.IsNil() {
			return nil
		}
		return v.Interface().(Validator).Validate()
	}
	for i := range v.Len() {
		e := v.Index(i)
		if how == validatesElements {
			e = e.Addr()
		}
		if e.Kind() == reflect.Pointer && e.IsNil() {
			continue
		}
		if err := e.Interface().(Validator).Validate(); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}
