// Hello is the smallest whole program: two tasks, the context that one of them
// works with, a result that the caller waits for, and a retry.
package main

//go:generate go tool taskgen

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Cafe is the context of the tasks that need the price list.
type Cafe struct {
	*runtime.Context
	Prices map[string]int `task:"supply"` // in cents, supplied in main
}

// Order returns what count of the item cost, in cents.
//
//task:context retries=2 delay=100ms
func Order(ctx *Cafe, item string, count int) (int, error) {
	if ctx.Metadata().Attempt == 0 {
		return 0, errors.New("the till is busy") // runs again after the delay
	}
	price, ok := ctx.Prices[item]
	if !ok {
		return 0, runtime.Permanent(fmt.Errorf("we have no %s", item)) // no retry helps
	}
	return price * count, nil
}

//task:context
func greet(ctx context.Context, name string) error {
	fmt.Printf("hello, %s\n", name)
	return nil
}

func main() {
	ctx := context.Background()
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 4})
	RegisterTasks(app) // generated, as are EnqueueOrder and EnqueueGreet
	runtime.Supply(app, map[string]int{"coffee": 250, "tea": 200})
	check(app.Start(ctx))

	greeting, err := EnqueueGreet(ctx, app, "gopher")
	check(err)
	order, err := EnqueueOrder(ctx, app, "coffee", 3)
	check(err)

	_, err = greeting.Wait(ctx)
	check(err)
	cents, err := order.Wait(ctx) // an int: the result of Order
	check(err)
	fmt.Printf("3 coffees cost %d cents\n", cents)

	check(app.Stop(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
