// Package depot packs parcels and hands them to a van, whose tasks it enqueues
// without importing them: the van enqueues the depot's, too.
//
//task:client of=../van
package depot

//go:generate go tool taskgen

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/taskctx/taskctx/examples/parcels/parcel"
	"github.com/taskctx/taskctx/runtime"
)

// Depot is a service whose methods are tasks.
type Depot struct {
	Log *slog.Logger

	mu    sync.Mutex
	shelf int
}

// Pack labels a parcel and gives it to the van.
//
//task:context queue=depot retries=5 delay=100ms
func (d *Depot) Pack(ctx *runtime.Context, p parcel.Parcel) (parcel.Label, error) {
	d.mu.Lock()
	d.shelf++
	label := parcel.Label{Shelf: d.shelf, Code: fmt.Sprintf("%s/%dg", p.ID, p.Grams)}
	d.mu.Unlock()
	d.Log.InfoContext(ctx, "packed", "parcel", p.ID)
	_, err := EnqueueVanDeliver(ctx, ctx.App(), p, label, runtime.WithActiveKey("deliver "+p.ID))
	return label, err
}

// TakeBack puts a parcel that nobody took on its shelf again.
//
//task:context queue=depot
func (d *Depot) TakeBack(ctx context.Context, p parcel.Parcel, label parcel.Label) error {
	d.Log.InfoContext(ctx, "taken back", "parcel", p.ID, "shelf", label.Shelf)
	return nil
}
