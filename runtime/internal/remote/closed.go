package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Closed returns [engine.ErrClosed] once closing has ended: the engine is closed.
func Closed(closing context.Context) error {
	if closing.Err() != nil {
		return engine.ErrClosed
	}
	return nil
}

// Failed wraps an operation's error with its name, and with [engine.ErrClosed] if
// the engine is closed.
func Failed(closing context.Context, doing string, err error) error {
	if closing.Err() != nil && !errors.Is(err, engine.ErrClosed) {
		err = fmt.Errorf("%w: %w", engine.ErrClosed, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
