package runtime_test

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Currency is a part of the app's configuration.
type Currency string

// What the app was given is found by its type: by generated code, which fills
// the fields of context types with it, and by tasks.
func ExampleSupply() {
	charge := newUnit[int, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	charge.handle(app, func(ctx *runtime.Context, cents int) (string, error) {
		currency, ok := runtime.Supplied[Currency](ctx)
		return fmt.Sprintf("%d %s %t", cents, currency, ok), nil
	})
	runtime.Supply(app, Currency("EUR"))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call(1999).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	// Output: 1999 EUR true <nil>
}

// Rates are taxes, of the place that is asked first.
type Rates struct{ Percent int }

// Fallback are the rates of another place.
type Fallback struct{ *Rates }

// Two values of one type have a type for each role.
func ExampleSupply_twoOfOneType() {
	tax := newUnit[int, int]("billing.Tax") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	tax.handle(app, func(ctx *runtime.Context, cents int) (int, error) {
		rates, _ := runtime.Supplied[*Rates](ctx)
		if rates.Percent == 0 {
			fallback, _ := runtime.Supplied[Fallback](ctx)
			rates = fallback.Rates
		}
		return cents * rates.Percent / 100, nil
	})
	runtime.Supply(app, &Rates{})
	runtime.Supply(app, Fallback{&Rates{Percent: 20}})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := tax.call(1000).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	// Output: 200 <nil>
}
