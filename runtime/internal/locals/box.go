package locals

import (
	"encoding/json"
	"reflect"

	"github.com/taskctx/taskctx/runtime/wire"
)

// Value is a local's value of any type.
type Value interface {
	Any() any
	Clone() Value
	Encode(inLogs bool) (json.RawMessage, error)
}

// Box holds a T, which may be a nil interface.
type Box[T any] struct{ V T }

// Any returns the value.
func (b Box[T]) Any() any { return b.V }

// Clone returns a copy for a child.
func (b Box[T]) Clone() Value { return Box[T]{Clone(b.V)} }

// Encode returns the value as an [Arrival], encoded.
func (b Box[T]) Encode(inLogs bool) (json.RawMessage, error) {
	return wire.Marshal(func(f *wire.Fields) {
		f.JSON("v", &b.V)
		if inLogs {
			f.Bool("log", &inLogs)
		}
	})
}

// cloner is implemented by values that clone themselves as a T.
type cloner[T any] interface{ Clone() T }

// Clone returns a copy of a value, by its method Clone or that of a pointer to
// it if there is one.
func Clone[T any](v T) T {
	if c, ok := any(v).(cloner[T]); ok {
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return v
		}
		return c.Clone()
	}
	if _, ok := any((*T)(nil)).(cloner[T]); ok {
		return any(&v).(cloner[T]).Clone()
	}
	return v
}
