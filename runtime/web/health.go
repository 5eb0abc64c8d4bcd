package web

import (
	"errors"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// healthOut is the answer while the store answers.
type healthOut struct {
	OK bool `json:"ok"`
}

// health asks the store for a task that does not exist: the error of a store that is
// down is answered with 503.
func (q *request) health() (healthOut, error) {
	ctx, cancel := q.store()
	defer cancel()
	if _, err := q.h.app.Lookup(ctx, uuid.Nil); err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return healthOut{}, err
	}
	return healthOut{OK: true}, nil
}
