package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/wire"
)

// percent is a parameter that says which values make sense.
type percent int

func (p *percent) Validate() error {
	if *p < 0 || *p > 100 {
		return errors.New("it is no percentage")
	}
	return nil
}

func TestTasks_ListsRegisteredTasks(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	assert.Empty(t, app.Tasks())
	b := newUnit[map[string]int, int]("named.B", func(s *wire.Spec) {
		s.Queue, s.Retries, s.Aliases, s.Tags = "bulk", 7, []string{"named.Old"}, map[string]string{"plan": "pro"}
		s.Params[0].Sig, s.Params[0].Redact = "map[string]int", true
	})
	b.handle(app, func(*runtime.Context, map[string]int) (int, error) { return 0, nil })
	a := newUnit[string, int]("named.A")
	a.handle(app, func(*runtime.Context, string) (int, error) { return 0, nil })
	tasks := app.Tasks()
	require.Len(t, tasks, 2)
	assert.Equal(t, inspect.TaskInfo{
		Name: "named.A", Func: "named.A", Queue: "default", Params: []inspect.ParamInfo{{Name: "v", Type: "T"}}, Example: json.RawMessage(`{"v":""}`),
	}, tasks[0])
	assert.Equal(t, inspect.TaskInfo{
		Name: "named.B", Aliases: []string{"named.Old"}, Func: "named.B", Queue: "bulk", Retries: 7, Tags: map[string]string{"plan": "pro"},
		Params: []inspect.ParamInfo{{Name: "v", Type: "map[string]int", Redact: true}}, Example: json.RawMessage(`{"v":null}`),
	}, tasks[1])
}

func TestCallOf_ChecksArguments(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, int]("named.Double", func(s *wire.Spec) { s.Aliases = []string{"named.Twice"} })
	u.handle(app, func(_ *runtime.Context, n int) (int, error) { return 2 * n, nil })
	p := newUnit[percent, int]("named.Percent", func(s *wire.Spec) { s.Params[0].Redact = true })
	p.handle(app, func(_ *runtime.Context, n percent) (int, error) { return int(n), nil })
	start(t, app)
	for _, name := range []string{"named.Double", "named.Twice"} {
		call, err := app.CallOf(name, json.RawMessage(` { "v" : 21 } `), runtime.WithTag("by", "name"))
		require.NoError(t, err)
		assert.Equal(t, "named.Double", call.AnyCall.Name())
		h, err := call.Enqueue(t.Context(), app)
		require.NoError(t, err)
		result, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "42", string(result))
		r, err := h.Record(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "name", r.Tags.Get("by"))
	}
	for args, want := range map[string]string{
		`{"v":"x"}`: `parameter "v"`, `{}`: `parameter "v"`, ``: `parameter "v"`, `{"v":1,"w":2}`: `"w"`, `[1]`: "not a JSON object",
		`{"v":1.5}`: `parameter "v"`, `{"v":1}}`: "", `{"v":1,"v":2}`: "", `null`: "not a JSON object", `{"v":99999999999999999999}`: `parameter "v"`,
	} {
		_, err := app.CallOf("named.Double", json.RawMessage(args))
		require.ErrorContains(t, err, want, args)
	}
	_, err := app.CallOf("named.None", json.RawMessage(`{"v":1}`))
	require.ErrorIs(t, err, runtime.ErrUnknownTask)
	_, err = app.CallOf("named.Percent", json.RawMessage(`{"v":4711}`))
	invalid := new(wire.InvalidError)
	require.ErrorAs(t, err, &invalid)
	assert.NotContains(t, err.Error(), "4711")
}

// A call by name is enqueued as one that was generated: same signature, same key.
func TestCallOf_IsTheSameCall(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[string, int]("named.Same", func(s *wire.Spec) { s.Unique, s.Params[0].Sig = time.Hour, "string" })
	u.handle(app, func(*runtime.Context, string) (int, error) { return 0, nil })
	typed, err := app.Prepare(context.Background(), u.call("a<b"))
	require.NoError(t, err)
	call, err := app.CallOf("named.Same", json.RawMessage(`{"v":"a<b"}`))
	require.NoError(t, err)
	named, err := app.Prepare(context.Background(), call)
	require.NoError(t, err)
	assert.Equal(t, string(typed.Args), string(named.Args))
	assert.Equal(t, typed.Key, named.Key)
	assert.Equal(t, typed.Meta.Signature, named.Meta.Signature)
}
