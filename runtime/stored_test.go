package runtime_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestStoredMetadata_HasNoRedactedValue: what the store has beside the arguments is
// told, without the value of a redacted parameter, wherever it stands.
func TestStoredMetadata_HasNoRedactedValue(t *testing.T) {
	one, two := headerValue{"one"}, headerValue{"two"}
	app := newUnitApp(t, runtime.Config{Workers: 1, KeepLogs: 10, Propagators: []hook.Propagator{one, two}})
	u := newUnit[string, string]("test.StoredMetadata", func(s *wire.Spec) {
		s.Params = []wire.Param{{Name: "v", Sig: "string", Redact: true}}
	})
	u.handle(app, func(ctx *runtime.Context, v string) (string, error) {
		ctx.Logger().Info("it is " + v)
		return "done", nil
	})
	start(t, app)
	const secret = "4111-1111-7302"
	ctx := context.WithValue(context.WithValue(t.Context(), one, "for "+secret), two, "req-2")
	h, err := u.call(secret, runtime.WithKey("charge "+secret, time.Hour), runtime.WithTag("card", secret), runtime.WithLimit("card "+secret, 3)).Enqueue(ctx, app)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	raw, err := app.StoredMetadata(t.Context(), h.ID())
	require.NoError(t, err)
	assert.NotContains(t, string(raw), secret)
	var got struct {
		Meta struct {
			Headers, Tags map[string]string
			Sig           string
		}
		Key    string
		KeyFor time.Duration `json:"key_for"`
		Limits []struct{ Most int }
		Memo   struct{ Logs []struct{ Message string } }
	}
	require.NoError(t, json.Unmarshal(raw, &got), string(raw))
	assert.Equal(t, "req-2", got.Meta.Headers["two"])
	assert.Equal(t, "for [redacted]", got.Meta.Headers["one"])
	assert.Equal(t, "[redacted]", got.Meta.Tags["card"])
	assert.Contains(t, got.Key, "[redacted]")
	assert.Equal(t, time.Hour, got.KeyFor)
	require.Len(t, got.Limits, 1)
	assert.Equal(t, 3, got.Limits[0].Most)
	require.Len(t, got.Memo.Logs, 1)
	assert.Equal(t, "it is [redacted]", got.Memo.Logs[0].Message)

	_, err = app.StoredMetadata(t.Context(), uuid.New())
	assert.ErrorIs(t, err, runtime.ErrNotFound)
}

// TestStoredMetadata_OfOddTimes: a time that JSON cannot write is left out, and the rest
// told.
func TestStoredMetadata_OfOddTimes(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	id := uuid.Must(uuid.NewV7())
	_, err := app.Engine().Insert(t.Context(), []*engine.Message{{
		Name: "test.Odd", Queue: "odd", Args: json.RawMessage(`{}`),
		Meta: engine.Meta{Version: engine.WirePlain, ID: id, Retries: 7, EnqueuedAt: time.Now().UTC(), Deadline: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
	}})
	require.NoError(t, err)
	raw, err := app.StoredMetadata(t.Context(), id)
	require.NoError(t, err)
	assert.Contains(t, string(raw), `"retries":7`)
	assert.NotContains(t, string(raw), "deadline")
}
