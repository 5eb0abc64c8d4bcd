package seal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/seal"
	"github.com/taskctx/taskctx/runtime/wire"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func newCodec(t *testing.T, c seal.Config) *seal.Codec {
	t.Helper()
	if c.MACKey == nil {
		c.MACKey = key(9)
	}
	codec, err := seal.New(c)
	require.NoError(t, err)
	return codec
}

func TestCodec_BindsToTheTask(t *testing.T) {
	c := newCodec(t, seal.Config{Keys: []seal.Key{{"a", key(1)}}})
	b := hook.Binding{Task: "billing.Charge", Message: "m1", Part: hook.PartArgs}
	stored, err := c.Encode(b, json.RawMessage(`{"card":"4111"}`))
	require.NoError(t, err)
	assert.NotContains(t, string(stored), "4111")
	again, err := c.Encode(b, json.RawMessage(`{"card":"4111"}`))
	require.NoError(t, err)
	assert.NotEqual(t, stored, again, "equal arguments show")
	plain, err := c.Decode(b, stored)
	require.NoError(t, err)
	assert.JSONEq(t, `{"card":"4111"}`, string(plain))
	for name, other := range map[string]hook.Binding{
		"another task":    {Task: "billing.Refund", Message: "m1", Part: hook.PartArgs},
		"another message": {Task: "billing.Charge", Message: "m2", Part: hook.PartArgs},
		"another part":    {Task: "billing.Charge", Message: "m1", Part: hook.PartResult},
		"shifted":         {Task: "billing.Chargem", Message: "1", Part: hook.PartArgs},
	} {
		_, err := c.Decode(other, stored)
		assert.Error(t, err, name)
	}
	for i := range stored {
		broken := bytes.Clone(stored)
		broken[i] ^= 1
		if plain, err := c.Decode(b, broken); err == nil {
			t.Errorf("byte %d changed: %s", i, plain)
		}
	}
}

func TestCodec_Rotation(t *testing.T) {
	b := hook.Binding{Task: "t", Part: hook.PartArgs}
	old := newCodec(t, seal.Config{Keys: []seal.Key{{"a", key(1)}}})
	both := newCodec(t, seal.Config{Keys: []seal.Key{{"b", key(2)}, {"a", key(1)}}})
	stored, err := old.Encode(b, json.RawMessage(`1`))
	require.NoError(t, err)
	plain, err := both.Decode(b, stored)
	require.NoError(t, err)
	assert.Equal(t, `1`, string(plain))
	stored, err = both.Encode(b, json.RawMessage(`2`))
	require.NoError(t, err)
	_, err = old.Decode(b, stored)
	assert.ErrorContains(t, err, `the key "b"`)
	assert.Equal(t, old.HashKey([]byte("k")), both.HashKey([]byte("k")), "keys rotate")
}

func TestCodec_PlainOnlyWhenAllowed(t *testing.T) {
	b := hook.Binding{Task: "t", Part: hook.PartArgs}
	for _, plain := range []string{`{"v":1}`, `"text"`, `"s1.x"`, `null`, `"s1"`} {
		_, err := newCodec(t, seal.Config{Keys: []seal.Key{{"a", key(1)}}}).Decode(b, json.RawMessage(plain))
		assert.Error(t, err, plain)
		got, err := newCodec(t, seal.Config{Keys: []seal.Key{{"a", key(1)}}, AllowPlain: true}).Decode(b, json.RawMessage(plain))
		require.NoError(t, err)
		assert.Equal(t, plain, string(got))
	}
}

func TestNew_RefusesKeys(t *testing.T) {
	for name, c := range map[string]seal.Config{
		"none":      {MACKey: key(1)},
		"no MAC":    {Keys: []seal.Key{{"a", key(1)}}},
		"short":     {Keys: []seal.Key{{"a", []byte("short-secret")}}, MACKey: key(1)},
		"twice":     {Keys: []seal.Key{{"a", key(1)}, {"a", key(2)}}, MACKey: key(1)},
		"dot in ID": {Keys: []seal.Key{{"a.b", key(1)}}, MACKey: key(1)},
	} {
		_, err := seal.New(c)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "short-secret")
	}
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", seal.Key{"a", []byte("secret")}, seal.Key{"a", []byte("secret")}, []seal.Key{{"a", []byte("secret")}}), "secret")
}

type args struct{ pin string }

func (a *args) fields(f *wire.Fields) { f.String("pin", &a.pin) }

var task = glue.NewTask[args, string](wire.Spec{
	Name: "test.Pin", Func: "Pin", Retries: 1, Delay: wire.NoDelay,
	Params: []wire.Param{{Name: "pin", Sig: "string"}},
}, (*args).fields)

func call(pin string, opts ...runtime.Option) runtime.Call[string] {
	a := args{pin}
	return task.Call(a.fields, opts)
}

// Nothing of what a task was given, said and returned is in the store, and all
// of it is read back.
func TestCodec_NothingIsStoredInTheClear(t *testing.T) {
	const pin = "canary4711"
	engine := memory.New(memory.Config{})
	cfg := func() runtime.Config {
		return runtime.Config{
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), KeepLogs: 10,
			Codec:  newCodec(t, seal.Config{Keys: []seal.Key{{"a", key(1)}}}),
			Sealed: []hook.Part{hook.PartResult, hook.PartReason, hook.PartLogs, hook.PartTags},
		}
	}
	app := runtime.New(engine, cfg())
	glue.Register(app, task, func(ctx *runtime.Context, a *args) (string, error) {
		ctx.Logger().Info("got "+a.pin, "pin", a.pin)
		ctx.Progress(1, 2, a.pin)
		assert.Equal(t, pin, ctx.Metadata().Tags.Get("pin"))
		if ctx.Metadata().Attempt == 0 {
			return "", errors.New("first " + a.pin)
		}
		if ctx.Metadata().Tags.Get("fail") != "" {
			return "", errors.New("again " + a.pin)
		}
		return "opened by " + a.pin, nil
	})
	ctx := context.Background()
	require.NoError(t, app.Start(ctx))
	web := runtime.New(engine, cfg())
	good, err := call(pin, runtime.WithTag("pin", pin), runtime.WithUnique(time.Hour)).Enqueue(ctx, web)
	require.NoError(t, err)
	same, err := call(pin, runtime.WithTag("pin", pin), runtime.WithUnique(time.Hour)).Enqueue(ctx, app)
	require.NoError(t, err)
	assert.True(t, same.Existing())
	bad, err := call(pin, runtime.WithTag("pin", pin), runtime.WithTag("fail", "yes"), runtime.WithKey(pin, time.Hour)).Enqueue(ctx, web)
	require.NoError(t, err)
	got, err := good.Wait(ctx)
	require.NoError(t, err)
	assert.Equal(t, "opened by "+pin, got)
	_, err = bad.Wait(ctx)
	require.ErrorContains(t, err, "again "+pin)
	rec, err := bad.Record(ctx)
	require.NoError(t, err)
	assert.Equal(t, "again "+pin, rec.Reason)
	assert.Equal(t, pin, rec.Tags.Get("pin"))
	require.Len(t, rec.Errors, 2)
	assert.Equal(t, "first "+pin, rec.Errors[0].Error)
	assert.NotEmpty(t, rec.Logs)
	assert.Equal(t, pin, rec.Progress.Note)
	rec, err = good.Record(ctx)
	require.NoError(t, err)
	assert.JSONEq(t, `"opened by `+pin+`"`, string(rec.Result))
	for _, id := range []*runtime.Handle[string]{good, bad} {
		entry, err := engine.Get(ctx, id.ID())
		require.NoError(t, err)
		stored, err := json.Marshal(entry)
		require.NoError(t, err)
		assert.NotContains(t, string(stored), pin)
		assert.Contains(t, string(entry.Message.Args), "s1.a.")
		// Who has no key sees that there is something.
		blind, err := runtime.New(engine, runtime.Config{}).Lookup(ctx, id.ID())
		require.NoError(t, err)
		assert.Equal(t, "[sealed]", blind.Tags.Get("pin"))
	}
	require.NoError(t, app.Stop(ctx))
	require.NoError(t, engine.Close())
}
