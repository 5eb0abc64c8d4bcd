// The program of TestGrowth_Processes, which is built once for each version of the
// order: it enqueues orders, or runs those that others have enqueued.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// main runs with a SQLite file, "send" or "work", and the arguments of tasks, or their
// ids. It prints the id of each, or what became of it.
func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := sqlite.Open(os.Args[1], sqlite.Config{})
	check(err)
	app := runtime.New(e, runtime.Config{
		ParkFor: time.Nanosecond, // what would be parked fails
		Logger:  slog.New(slog.DiscardHandler),
	})
	RegisterTasks(app)
	if os.Args[2] == "work" {
		check(app.Start(ctx))
		for _, id := range os.Args[3:] {
			fmt.Println(outcome(ctx, runtime.HandleOf[string](app, uuid.MustParse(id))))
		}
		check(app.Stop(ctx))
		return
	}
	for _, args := range os.Args[3:] {
		var sent struct{ Order Order }
		check(json.Unmarshal([]byte(args), &sent))
		h, err := EnqueueTake(ctx, app, sent.Order)
		check(err)
		fmt.Println(h.ID())
	}
}

// outcome returns what the task got, or "parked".
func outcome(ctx context.Context, h *runtime.Handle[string]) string {
	got, err := h.Wait(ctx)
	if _, failed := errors.AsType[*runtime.TaskError](err); failed {
		rec, err := h.Record(ctx)
		check(err)
		if rec.Attempt == 0 {
			return "parked"
		}
	}
	check(err)
	return got
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
