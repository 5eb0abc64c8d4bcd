package runtime_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
)

// TestSpawn_OfTheZeroCall: no run can mend it, also where nobody waits for the child.
func TestSpawn_OfTheZeroCall(t *testing.T) {
	for _, waits := range []bool{true, false} {
		app := newUnitApp(t, runtime.Config{})
		runs := 0
		u := newUnit[string, string]("press.Publish", durably, retries(3))
		u.handle(app, func(ctx *runtime.Context, _ string) (string, error) {
			runs++
			f := runtime.Spawn(ctx, "page", runtime.Call[string]{})
			if !waits {
				return "", nil
			}
			return f.Await(ctx)
		})
		start(t, app)
		_, err := await(t, app, u.call(""))
		require.ErrorContains(t, err, "child page: the call is the zero value")
		assert.Equal(t, 1, runs)
	}
}
