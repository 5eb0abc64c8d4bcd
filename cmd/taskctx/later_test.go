package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engines"
)

// seedLater is a command of the scripts: it leaves three tasks that are due in a day
// on the engine that its argument names.
func seedLater() {
	if err := seedDelayed(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func seedDelayed(ctx context.Context, url string) (err error) {
	e, err := engines.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	app := runtime.New(e, runtime.Config{})
	for i, customer := range []string{"ann", "bob", "eve"} {
		h, err := bill(customer, runtime.WithDelay(24*time.Hour), runtime.WithPriority(i+1)).Enqueue(ctx, app)
		if err != nil {
			return err
		}
		if err := os.WriteFile(customer+".id", []byte(h.ID().String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
