package hook

import "context"

// Propagator carries values of the enqueuer's context to the task's: a trace, a
// correlation id. Its methods are called concurrently.
type Propagator interface {
	// Inject writes the values into headers, a map of its own.
	Inject(ctx context.Context, headers map[string]string)
	// Extract returns ctx with the values from headers, which it must not
	// change.
	Extract(ctx context.Context, headers map[string]string) context.Context
}
