package durable

import (
	"context"

	"github.com/taskctx/taskctx/runtime"
)

// Agency books and cancels.
type Agency interface {
	Book(ctx context.Context, what, customer string) (ticket string, err error)
	Cancel(ctx context.Context, ticket string) error
}

// AgencyContext is the context of bookings.
type AgencyContext struct {
	*runtime.Context
	Agency Agency `task:"supply"`
}
