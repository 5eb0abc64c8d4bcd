package runtime_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// clientArgs has a field for each parameter.
type clientArgs struct {
	name string //nolint:unused // the runtime reads it by its place
	card string //nolint:unused // the runtime reads it by its place
}

func (a *clientArgs) Run(_ context.Context, _ *runtime.Result) error { return nil }

// TestRegisterClient_CallsByName: an app that does not run a task makes checked
// calls of it by name, tells of it as another's, does not run it, and shows nothing
// of what it redacts.
//
// Proves: FEATURES 113
func TestRegisterClient_CallsByName(t *testing.T) {
	def := wire.Definition{Spec: wire.Spec{
		Name: "client.Charge", Func: "Charge",
		Params: []wire.Param{{Name: "name", Sig: "string"}, {Name: "card", Sig: "string", Redact: true}},
	}}
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: slog.New(slog.DiscardHandler), Queues: []string{"other"}})
	glue.RegisterClient(app, &def, (*clientArgs)(nil))
	glue.RegisterClient(app, &def, (*clientArgs)(nil))
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })

	tasks := app.Tasks()
	require.Len(t, tasks, 1)
	assert.True(t, tasks[0].Client)
	assert.JSONEq(t, `{"name": "", "card": ""}`, string(tasks[0].Example))

	_, err := app.CallOf("client.Charge", json.RawMessage(`{"name": "ann"}`))
	require.Error(t, err)
	call, err := app.CallOf("client.Charge", json.RawMessage(`{"name": "ann", "card": "4111"}`))
	require.NoError(t, err)
	h, err := call.Enqueue(t.Context(), app)
	require.NoError(t, err)
	record, err := app.Lookup(t.Context(), h.ID())
	require.NoError(t, err)
	text, err := json.Marshal(record)
	require.NoError(t, err)
	assert.Contains(t, string(text), "ann")
	assert.NotContains(t, string(text), "4111")
	assert.Equal(t, "pending", string(record.State))

	glue.RegisterTask[context.Context](app, &def, (*clientArgs)(nil))
	tasks = app.Tasks()
	require.Len(t, tasks, 1)
	assert.False(t, tasks[0].Client)
}
