package runtime_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
)

// TestSignal_ToATaskThatIsNotDurable: it would never read it, so the sender has the
// wrong id, such as a child's. A program that does not know the function cannot tell.
//
// Proves: FEATURES 86
func TestSignal_ToATaskThatIsNotDurable(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	plain := newUnit[string, string]("press.Render")
	plain.handle(app, func(_ *runtime.Context, v string) (string, error) { return v, nil })
	u := newUnit[string, string]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, v string) (string, error) { return approved.Await(ctx, 0) })
	start(t, app)
	h := enqueue(t, app, runtime.With(plain.call("x"), runtime.WithDelay(time.Hour)))
	err := approved.Send(t.Context(), app, h.ID(), "yes")
	require.ErrorIs(t, err, runtime.ErrState)
	assert.ErrorContains(t, err, "press.Render is not durable, and reads no signals")
	assert.Empty(t, journalOf(t, app, h.ID()))
	stranger := runtime.New(app.Engine(), runtime.Config{})
	require.NoError(t, approved.Send(t.Context(), stranger, h.ID(), "yes"))
	p := enqueue(t, app, u.call("x"))
	require.NoError(t, approved.Send(t.Context(), app, p.ID(), "yes"))
	got, err := result(t, p)
	require.NoError(t, err)
	assert.Equal(t, "yes", got)
}
