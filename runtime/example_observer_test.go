package runtime_test

import (
	"fmt"

	"github.com/taskctx/taskctx/runtime"
)

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
