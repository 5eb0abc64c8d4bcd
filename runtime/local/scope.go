package local

import (
	"context"

	"github.com/taskctx/taskctx/runtime/internal/locals"
)

// With opens a new, empty scope for local values where there is no task: in a
// web handler, in main, in a test. In a task the scope hides the task's own,
// and ends with it.
func With(ctx context.Context) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithValue(ctx, locals.ScopeKey{}, locals.New(locals.TaskOf(ctx), nil))
}
