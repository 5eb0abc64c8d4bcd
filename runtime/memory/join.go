package memory

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Join implements [engine.Transactor], as [Config].JoinAtOnce says: no transaction
// has anything to do with this engine.
func (e *Engine) Join(_ context.Context, tx any) (engine.Inserter, error) {
	if tx == nil || !e.joinAtOnce {
		return nil, fmt.Errorf("memory: tasks are not in the database of a transaction (%T), unless Config.JoinAtOnce is set: %w",
			tx, engine.ErrUnsupported)
	}
	return e, nil
}
