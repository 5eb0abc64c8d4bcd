package runtime_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/taskctx/taskctx/runtime"
)

// A call is a value: it has the arguments of when it was made, an option makes
// another of it, and many can send it, each time as a new task.
//
// Proves: FEATURES 58
func TestCall_IsMadeBeforeItIsSent(t *testing.T) {
	u := newUnit[[]string, []string]("test.Made")
	args := []string{"a", "b"}
	call := u.call(args)
	tagged := runtime.With(call, runtime.WithTag("n", "1"))
	args[0] = "changed"
	app := newUnitApp(t, runtime.Config{})
	u.handle(app, func(ctx *runtime.Context, v []string) ([]string, error) {
		return append(v, ctx.Metadata().Tags.Get("n")), nil
	})
	start(t, app)
	var senders sync.WaitGroup
	var ids sync.Map
	for i := range 16 {
		senders.Go(func() {
			c, want := call, []string{"a", "b", ""}
			if i%2 == 1 {
				c, want = tagged, []string{"a", "b", "1"}
			}
			h, err := c.Enqueue(context.Background(), app)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := h.Wait(context.Background()); err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
			if _, twice := ids.LoadOrStore(h.ID(), true); twice {
				t.Errorf("task %s was sent twice", h.ID())
			}
		})
	}
	senders.Wait()
}
