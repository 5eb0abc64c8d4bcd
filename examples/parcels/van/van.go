// Package van delivers parcels, and brings back to the depot what nobody takes.
//
//task:client of=../depot skip=Depot.Pack
package van

//go:generate go tool taskgen

import (
	"log/slog"
	"strings"

	"github.com/taskctx/taskctx/examples/parcels/parcel"
	"github.com/taskctx/taskctx/runtime"
)

// Van is a service whose method is a task.
type Van struct{ Log *slog.Logger }

// Deliver brings a parcel to its address.
//
//task:context queue=van
func (v *Van) Deliver(ctx *runtime.Context, p parcel.Parcel, label parcel.Label) error {
	if strings.HasPrefix(p.To, "nobody") {
		_, err := EnqueueDepotTakeBack(ctx, ctx.App(), p, label)
		return err
	}
	v.Log.InfoContext(ctx, "delivered", "parcel", p.ID, "label", label.Code)
	return nil
}
