// Package tsclient has tasks of many types, and the client in TypeScript that
// taskgen makes of them, which its test compiles and enqueues them with.
package tsclient

//go:generate go tool taskgen
//go:generate sh -c "go tool taskgen schema -format ts > client.ts"

import (
	"encoding/json"
	"math/big"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// Shop is what the tasks tell what they got.
type Shop struct {
	*runtime.Context
	Got chan<- Charged `task:"supply"`
}

// Charged is what [Charge] got.
type Charged struct {
	Order  Order
	Card   string
	After  time.Duration
	At     time.Time
	Count  int64
	Small  int32
	Ratio  float64
	Free   json.RawMessage
	Places []string
}

// Money is an amount.
type Money struct {
	Currency string `json:"currency"`
	Cents    int64  `json:"cents"`
}

// Order has parts of many types.
type Order struct {
	ID     uuid.UUID         `json:"id"`
	Items  []Money           `json:"items"`
	By     map[string]*Money `json:"by"`
	Note   *string           `json:"note"`
	Photo  []byte            `json:"photo"`
	Seq    uint64            `json:"seq,string"`
	Parent *Order            `json:"parent,omitzero"`
	Grid   [2]uint8          `json:"grid"`
	Total  *big.Int          `json:"total"`
	Tree   Tree              `json:"tree"`
}

// Tree is a slice of itself.
type Tree []Tree

// Charge charges an order to a card. /* It is */ for the test.
//
//task:context redact=card
func Charge(
	ctx *Shop, order Order, card string, after time.Duration, at time.Time, count int64, small int32, ratio float64,
	free json.RawMessage, places ...string,
) (Money, error) {
	ctx.Got <- Charged{order, card, after, at, count, small, ratio, free, places}
	return Money{"EUR", count}, nil
}

//task:context name=tsclient.tidy-up optional=hard
func tidy(ctx *runtime.Context, hard bool) error { return nil }
