package runtime_test

import (
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
)

// An observer sees the life of every task, on a goroutine of its own.
func ExampleObserver() {
	observer := hook.ObserverFunc(func(e hook.Event) {
		switch e.Kind {
		case hook.EventLog:
			fmt.Println(e.Kind, e.Log.Message)
		case hook.EventEnd:
			fmt.Println(e.Kind, e.Task.Name, e.State)
		case hook.EventStart:
			fmt.Println(e.Kind, e.Task.Name)
		}
	})
	runAsTaskOf(runtime.Config{Observers: []hook.Observer{observer}}, func(ctx *runtime.Context) error {
		ctx.Logger().Info("charging")
		return nil
	})
	// Output:
	// start billing.ChargeCard
	// log charging
	// end billing.ChargeCard succeeded
}
