package tasktest_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/tasktest"
)

// One attempt of a task, in one line, with what it is supplied faked.
func ExampleRun() {
	TestChargeCard := func(t *testing.T) {
		got, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", 100),
			tasktest.WithAttempt(2), tasktest.Supply[sender](new(outbox)))
		if err != nil || got.Cents != 100 {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	fmt.Println(passes(TestChargeCard))
	// Output: true
}

// A task function is a function: with a context it can be called directly.
func ExampleContextOf() {
	TestChargeCard := func(t *testing.T) {
		ctx := tasktest.ContextOf[*billingContext](t, RegisterTasks, tasktest.Supply[sender](new(outbox)))
		if _, err := ChargeCard(ctx, "c-1", -1); err == nil {
			t.Error("charged less than nothing")
		}
	}
	fmt.Println(passes(TestChargeCard))
	// Output: true
}

// Code that enqueues gets a recorder, which says what was enqueued.
func ExampleRecorder() {
	TestCheckout := func(t *testing.T) {
		rec := tasktest.NewRecorder()
		if _, err := ChargeCardCall("c-1", 100).Enqueue(context.Background(), rec); err != nil { // the code to test
			t.Fatal(err)
		}
		rec.AssertOnly(t, ChargeCardCall("c-1", 100))
	}
	fmt.Println(passes(TestCheckout))
	// Output: true
}

// In a bubble of testing/synctest a day passes at once.
func ExampleIdle() {
	TestTomorrow := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
			RegisterTasks(app)
			runtime.Supply[fmt.Stringer](app, time.Second)
			box := new(outbox)
			runtime.Supply[sender](app, box)
			tasktest.Start(t, app)
			if _, err := ChargeCardCall("c-1", 100, runtime.WithDelay(24*time.Hour)).Enqueue(t.Context(), app); err != nil {
				t.Fatal(err)
			}
			tasktest.Idle(t, app)
			if len(box.sent) != 1 {
				t.Error("nothing was sent")
			}
		})
	}
	fmt.Println(passes(TestTomorrow))
	// Output: true
}

// A durable task, from its first run to its end: 95 hours in no time, and once more
// for each point at which its worker may die.
func ExamplePlay() {
	TestPublish := func(t *testing.T) {
		url, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), tasktest.Supply(new(kiosk)),
			tasktest.Answer(RenderCall("moby", 0), "title", nil),
			tasktest.Answer(RenderCall("moby", 1), "call me", nil),
			tasktest.Answer(RenderCall("moby", 2), "the end", nil),
			tasktest.Send(71*time.Hour, approved, "ann"),
			tasktest.DyingEverywhere())
		if err != nil || url != "[title call me the end] by ann" {
			t.Errorf("got %q, %v", url, err)
		}
	}
	fmt.Println(passes(TestPublish))
	// Output: true
}

// From wait to wait: what the task waits for, and what it then does.
func ExampleBegin() {
	TestApproval := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // its rests take no time
			p := tasktest.Begin(t, RegisterPress, PublishCall("moby"), tasktest.RunChildren(), tasktest.Supply(new(kiosk)))
			if waits := p.Waits(); !strings.HasPrefix(waits, "signal approved") {
				t.Errorf("it waits for %s", waits)
			}
			tasktest.SendTo(p, approved, "ann")
			if _, err := p.End(); err != nil {
				t.Error(err)
			}
		})
	}
	fmt.Println(passes(TestApproval))
	// Output: true
}

// passes runs a test as go test does, and says whether it passes.
func passes(f func(t *testing.T)) bool {
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout = nil // go test -v prints there
	return testing.RunTests(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "Example", F: f}})
}
