package runtime

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Workers returns the workers that are alive, in every process, in any order. An
// engine that does not know them is [ErrUnsupported].
func (a *App) Workers(ctx context.Context) ([]engine.WorkerInfo, error) {
	l, ok := engine.As[engine.WorkerLister](a.engine)
	if !ok {
		return nil, fmt.Errorf("list workers: %w", ErrUnsupported)
	}
	ws, err := l.Workers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return ws, nil
}
