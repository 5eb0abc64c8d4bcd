package local

import "github.com/taskctx/taskctx/runtime/internal/locals"

var (
	// ErrNoScope: the context is neither of a task nor of a scope opened with
	// [With].
	ErrNoScope = locals.ErrNoScope
	// ErrUnset: the variable has no value.
	ErrUnset = locals.ErrUnset
)
