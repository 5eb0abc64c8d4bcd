package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Middleware goes around every task: it acts before and after, and sees how the
// task ended.
func ExampleMiddleware() {
	announce := func(next runtime.Handler) runtime.Handler {
		return func(ctx *runtime.Context) error {
			fmt.Println("begin", ctx.Metadata().Name)
			err := next(ctx)
			fmt.Println("end", err)
			return err
		}
	}
	cfg := runtime.Config{Middleware: []runtime.Middleware{announce}}
	runAsTaskOf(cfg, func(*runtime.Context) error {
		fmt.Println("charge")
		return nil
	})
	// Output:
	// begin billing.ChargeCard
	// charge
	// end <nil>
}

// An observer sees the life of every task, on a goroutine of its own.
func ExampleObserver() {
	observer := runtime.ObserverFunc(func(e runtime.Event) {
		switch e.Kind {
		case runtime.EventLog:
			fmt.Println(e.Kind, e.Log.Message)
		case runtime.EventEnd:
			fmt.Println(e.Kind, e.Task.Name, e.State)
		case runtime.EventStart:
			fmt.Println(e.Kind, e.Task.Name)
		}
	})
	runAsTaskOf(runtime.Config{Observers: []runtime.Observer{observer}}, func(ctx *runtime.Context) error {
		ctx.Logger().Info("charging")
		return nil
	})
	// Output:
	// start billing.ChargeCard
	// log charging
	// end billing.ChargeCard succeeded
}

// A hook answers a task's trigger with the result.
func ExampleTrigger() {
	approve := func(_ *runtime.Context, t *runtime.TriggerError) (any, bool, error) {
		fmt.Println("asked about", t.Attrs)
		return "approved", true, nil
	}
	charge := newUnit[int, string]("billing.ChargeCard")
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{OnTrigger: []runtime.TriggerHook{approve}})
	charge.handle(app, func(_ *runtime.Context, cents int) (string, error) {
		if cents > 1000 {
			return "", runtime.Trigger(slog.Int("cents", cents))
		}
		return "charged", nil
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	for _, cents := range []int{100, 5000} {
		h, err := charge.call(cents).Enqueue(ctx, app)
		if err != nil {
			panic(err)
		}
		fmt.Println(h.Wait(ctx))
	}
	// Output:
	// charged <nil>
	// asked about [cents=5000]
	// approved <nil>
}

// charges counts what all tasks of this process have charged.
var charges = runtime.NewShared("charges", func() map[string]int { return map[string]int{} })

func ExampleShared() {
	runAsTask(func(ctx *runtime.Context) error {
		var children sync.WaitGroup
		for range 10 {
			children.Go(func() {
				_ = charges.Update(ctx, func(m *map[string]int) error { (*m)["c-42"] += 5; return nil })
			})
		}
		children.Wait()
		return charges.Update(ctx, func(m *map[string]int) error {
			fmt.Println(*m)
			return nil
		})
	})
	// Output: map[c-42:50]
}

// Pages is an iterator task: generated code passes what it returns to Each, with
// the function that the annotation names.
//
//	//task:context each=countWords
//	func Pages(ctx *runtime.Context, site string) iter.Seq2[string, error]
//
//	func countWords(ctx *runtime.Context, page string) (int, error)
func ExampleEach() {
	sitePages := func(yield func(string, error) bool) {
		_ = yield("one two", nil) && yield("three", nil)
	}
	countLetters := func(ctx *runtime.Context, page string) (int, error) {
		ctx.Progress(0, 0, page)
		return len(page), nil
	}
	runAsTask(func(ctx *runtime.Context) error {
		counts, err := runtime.Each(ctx, iter.Seq2[string, error](sitePages), countLetters)
		fmt.Println(counts)
		return err
	})
	// Output: [7 5]
}

// Money is a parameter that validates itself.
type Money struct {
	Cents    int
	Currency string
}

// Validate implements wire.Validator.
func (m Money) Validate() error {
	if len(m.Currency) != 3 {
		return errors.New("currency must be three letters")
	}
	return nil
}

func ExampleValidator() {
	charge := newUnit[Money, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	_, err := charge.call(Money{1999, "euro"}).Enqueue(context.Background(), app)
	fmt.Println(err)
	// Output: enqueue billing.ChargeCard: parameter "v" is not valid: currency must be three letters
}

// Package runtime/cron has schedules from cron expressions.
func ExampleEvery() {
	cleanup := newUnit[int, runtime.Void]("billing.Cleanup") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	cleaned := make(chan string, 1)
	cleanup.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		cleaned <- ctx.Metadata().Tags.Get(runtime.TagEvery)
		return runtime.Void{}, nil
	})
	// Every full hour, one task however many processes do this; and one at once,
	// if none has run for the last full hour.
	runtime.Every(app, runtime.Interval(time.Hour), cleanup.call(0), runtime.CatchUp())
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	fmt.Println(<-cleaned)
	// Output: billing.Cleanup
}
