package webtest

import (
	"errors"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Prices are what the shop's goods cost, in cents.
type Prices map[string]int

// Shelf is a transaction on the stock.
type Shelf struct{}

// Stock is the context of tasks that count goods, as generated code registers one.
type Stock struct {
	*runtime.Context
	Prices Prices                 `task:"supply"`
	Shelf  func() (*Shelf, error) // begun when it is asked for
	Depot  string                 `task:"by=nearestDepot"`
}

// The keys of the values that providers make.
var (
	depotKey = runtime.NewKey[string]("webtest.nearestDepot", runtime.PerProcess, nil)
	shelfKey = runtime.NewKey[*Shelf]("webtest.beginShelf", runtime.PerTask, nil)
)

func newStock(ctx *runtime.Context) (*Stock, error) {
	prices, err := runtime.Require[Prices](ctx)
	return &Stock{Context: ctx, Prices: prices, Shelf: func() (*Shelf, error) { return new(Shelf), nil }, Depot: "north"}, err
}

type countArgs struct{ Item string }

// Run counts the goods of a name: it fails for those that have no price.
func (a *countArgs) Run(ctx *Stock, result *runtime.Result) error {
	price, ok := ctx.Prices[a.Item]
	if !ok {
		return runtime.Permanent(errors.New("no such goods: " + a.Item))
	}
	return result.JSON(&price, nil)
}

var countTask = wire.Definition{Spec: wire.Spec{
	Name: "stock.Count", Func: "Count", Queue: "reports", Retries: 1, Delay: wire.NoDelay,
	Params: []wire.Param{{Name: "item", Sig: "string"}},
}}

// addStock registers the task, and what it needs.
func addStock(app *runtime.App) {
	glue.RegisterContext(app, newStock, glue.NeedSupply[Prices](),
		glue.NeedProvider(depotKey, glue.NeedSupply[Prices]()), glue.NeedProvider(shelfKey, glue.NeedProvider(depotKey)))
	glue.RegisterTask(app, &countTask, (*countArgs)(nil))
	runtime.Supply(app, Prices{"tea": 250})
}
