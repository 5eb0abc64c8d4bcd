package runtime_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestAwait_OfAChildThatIsAfterItsParent: a child in the order of its own parent begins
// when that has ended, so a wait for it would never end. Without a wait it runs then,
// and one in another order is awaited as any.
//
// Proves: FEATURES 85
func TestAwait_OfAChildThatIsAfterItsParent(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 4})
	u := newUnit[string, string]("bank.Post", durably, func(s *wire.Spec) { s.OrderBy = "v" })
	mail := newUnit[string, string]("bank.Mail")
	mail.handle(app, func(_ *runtime.Context, v string) (string, error) { return v, nil })
	waits := map[string]func(ctx *runtime.Context) error{
		"await": func(ctx *runtime.Context) error {
			_, err := runtime.Spawn(ctx, "own", u.call("await")).Await(ctx)
			return err
		},
		"all": func(ctx *runtime.Context) error {
			_, err := runtime.All(ctx, "own", mail.call("x"), u.call("other"), u.call("all"))
			return err
		},
		"ends": func(ctx *runtime.Context) error {
			_, err := runtime.AwaitEnds(ctx, runtime.Spawn(ctx, "mail", mail.call("x")), runtime.Spawn(ctx, "own", u.call("ends")))
			return err
		},
		"any": func(ctx *runtime.Context) error {
			_, _, err := runtime.AwaitAny(ctx, runtime.Spawn(ctx, "own", u.call("any")), runtime.Spawn(ctx, "too", u.call("any")))
			return err
		},
		"mail": func(ctx *runtime.Context) error {
			_, _, err := runtime.AwaitAny(ctx, runtime.Spawn(ctx, "own", u.call("mail")), runtime.Spawn(ctx, "mail", mail.call("x")))
			return err
		},
		"apart": func(ctx *runtime.Context) error {
			_, err := runtime.Spawn(ctx, "own", u.call("another")).Await(ctx)
			return err
		},
	}
	u.handle(app, func(ctx *runtime.Context, v string) (string, error) {
		if wait := waits[v]; wait != nil && ctx.Metadata().ParentID == ([16]byte{}) {
			return "parent", wait(ctx)
		}
		return "child", nil
	})
	start(t, app)
	for v, name := range map[string]string{"await": "own", "all": "own/2", "ends": "own", "any": "too"} {
		h := enqueue(t, app, u.call(v))
		_, err := result(t, h)
		assert.ErrorContains(t, err, "of child "+name+", which would wait for this task to end: orderby=v lets one go at a time")
	}
	for _, v := range []string{"mail", "apart"} {
		h := enqueue(t, app, u.call(v))
		got, err := result(t, h)
		require.NoError(t, err)
		assert.Equal(t, "parent", got)
		for _, e := range journalOf(t, app, h.ID()) {
			if e.Name == "own" {
				reaches(t, app, e.Child, engine.StateSucceeded)
			}
		}
	}
}
