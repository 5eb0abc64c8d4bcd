// Package fresh has generated code that is older than its functions.
package fresh

import (
	"context"

	"github.com/taskctx/taskctx/runtime"
)

/* want `tasks_gen.go is stale: run go generate` */ //task:context
type Base struct{ *runtime.Context }

// Hello greets.
//
//task:context
func Hello(ctx context.Context, name string) error { return nil }
