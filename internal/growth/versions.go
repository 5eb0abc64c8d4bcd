// Package growth holds versions of a task, each with its form of one struct. The
// test enqueues each with one version and runs it with another, and writes the
// matrix of docs/changing-tasks.md.
package growth

import (
	"context"
	"encoding/json"
	"time"
)

//go:generate go tool taskgen

// Bare has no field that may be left out.
type Bare struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

// TakeBare returns the JSON of Bare.
//
//task:context
func TakeBare(ctx context.Context, order Bare) (string, error) { return show(order) }

// Base is the order that most changes begin with.
type Base struct {
	ID     string `json:"id"`
	Cents  int64  `json:"cents"`
	Coupon string `json:"coupon,omitempty"`
}

// TakeBase returns the JSON of Base.
//
//task:context
func TakeBase(ctx context.Context, order Base) (string, error) { return show(order) }

// Waits has a field more than Base, with omitzero.
type Waits struct {
	Base
	Wait int64 `json:"wait,omitzero"`
}

// TakeWaits returns the JSON of Waits.
//
//task:context
func TakeWaits(ctx context.Context, order Waits) (string, error) { return show(order) }

// Durations has that field as another type of the same JSON.
type Durations struct {
	Base
	Wait time.Duration `json:"wait,omitzero"`
}

// TakeDurations returns the JSON of Durations.
//
//task:context
func TakeDurations(ctx context.Context, order Durations) (string, error) { return show(order) }

// Taxed has a field more that is always written.
type Taxed struct {
	Base
	Tax int64 `json:"tax"`
}

// TakeTaxed returns the JSON of Taxed.
//
//task:context
func TakeTaxed(ctx context.Context, order Taxed) (string, error) { return show(order) }

// Placed has a field more that omitempty never leaves out.
type Placed struct {
	Base
	At time.Time `json:"at,omitempty"`
}

// TakePlaced returns the JSON of Placed.
//
//task:context
func TakePlaced(ctx context.Context, order Placed) (string, error) { return show(order) }

// Renamed calls the coupon otherwise in Go.
type Renamed struct {
	ID      string `json:"id"`
	Cents   int64  `json:"cents"`
	Voucher string `json:"coupon,omitempty"`
}

// TakeRenamed returns the JSON of Renamed.
//
//task:context
func TakeRenamed(ctx context.Context, order Renamed) (string, error) { return show(order) }

// Rekeyed calls the coupon otherwise in JSON.
type Rekeyed struct {
	ID      string `json:"id"`
	Cents   int64  `json:"cents"`
	Voucher string `json:"voucher,omitempty"`
}

// TakeRekeyed returns the JSON of Rekeyed.
//
//task:context
func TakeRekeyed(ctx context.Context, order Rekeyed) (string, error) { return show(order) }

// Priced has a field that is always written as another type.
type Priced struct {
	ID     string  `json:"id"`
	Cents  float64 `json:"cents"`
	Coupon string  `json:"coupon,omitempty"`
}

// TakePriced returns the JSON of Priced.
//
//task:context
func TakePriced(ctx context.Context, order Priced) (string, error) { return show(order) }

// Sparse may leave out what Base always writes.
type Sparse struct {
	ID     string `json:"id"`
	Cents  int64  `json:"cents,omitempty"`
	Coupon string `json:"coupon,omitempty"`
}

// TakeSparse returns the JSON of Sparse.
//
//task:context
func TakeSparse(ctx context.Context, order Sparse) (string, error) { return show(order) }

// Loose has a field more than Sparse.
type Loose struct {
	Sparse
	Wait int64 `json:"wait,omitzero"`
}

// TakeLoose returns the JSON of Loose.
//
//task:context
func TakeLoose(ctx context.Context, order Loose) (string, error) { return show(order) }

// Lines has structs within.
type Lines struct {
	Base
	Lines []Line `json:"lines"`
}

// Line is a part of Lines.
type Line struct {
	SKU string `json:"sku"`
}

// TakeLines returns the JSON of Lines.
//
//task:context
func TakeLines(ctx context.Context, order Lines) (string, error) { return show(order) }

// Noted has them with a field more.
type Noted struct {
	Base
	Lines []NotedLine `json:"lines"`
}

// NotedLine is a part of Noted.
type NotedLine struct {
	SKU  string `json:"sku"`
	Note string `json:"note,omitempty"`
}

// TakeNoted returns the JSON of Noted.
//
//task:context
func TakeNoted(ctx context.Context, order Noted) (string, error) { return show(order) }

func show(order any) (string, error) {
	b, err := json.Marshal(order)
	return string(b), err
}
