package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
)

// xorCodec turns arguments into something else, and works in place as ciphers
// do.
type xorCodec struct{ t *testing.T }

func (c xorCodec) Encode(b hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	if b.Task != "test.Codec" {
		return nil, errors.New("another task: " + b.Task)
	}
	for i := range args {
		args[i] ^= 0x55
	}
	return json.Marshal([]byte(args))
}

func (c xorCodec) Decode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	var b []byte
	if err := json.Unmarshal(args, &b); err != nil {
		return nil, err
	}
	for i := range args {
		args[i] = 'x' // it is the codec's own
	}
	for i := range b {
		b[i] ^= 0x55
	}
	return b, nil
}

// Proves: FEATURES 62
func TestCodec(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Codec: xorCodec{t}})
	u := newUnit[string, string]("test.Codec", retries(2))
	u.handle(app, func(ctx *runtime.Context, s string) (string, error) {
		if ctx.Metadata().Attempt < 2 {
			return "", errFlaky
		}
		return s, nil
	})
	start(t, app)
	call := u.call("plain text")
	for range 2 { // a call can be enqueued again
		h, err := call.Enqueue(context.Background(), app)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.Wait(context.Background()); err != nil || got != "plain text" {
			t.Errorf("%q, %v", got, err)
		}
		rec, err := h.Record(context.Background())
		if err != nil || strings.Contains(string(rec.Args), "plain") {
			t.Errorf("stored as %s, %v", rec.Args, err)
		}
	}
}

func TestCodec_Failing(t *testing.T) {
	for name, codec := range map[string]hook.Codec{
		"error":    codecFuncs{encode: func(json.RawMessage) (json.RawMessage, error) { return nil, errFlaky }},
		"not JSON": codecFuncs{encode: func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage("{"), nil }},
	} {
		app := runtime.New(newMemory(t), runtime.Config{Codec: codec})
		u := newUnit[int, int]("test.BadCodec")
		if _, err := u.call(1).Enqueue(context.Background(), app); err == nil || !strings.Contains(err.Error(), "codec") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What cannot be decoded here may be another worker's key: it is parked.
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Logger: silent, ParkFor: time.Hour, Codec: codecFuncs{
			decode: func(json.RawMessage) (json.RawMessage, error) { return nil, errors.New("no such key") },
		}})
		u := newUnit[int, int]("test.BadCodec", retries(3))
		u.handle(app, func(*runtime.Context, int) (int, error) { return 0, nil })
		start(t, app)
		h, err := u.call(1).Enqueue(context.Background(), app)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if rec, err := h.Record(context.Background()); err != nil || rec.State.Final() || !strings.Contains(rec.Reason, "no such key") {
			t.Errorf("%+v, %v; want it parked", rec, err)
		}
		if _, err := h.Wait(context.Background()); err == nil || !strings.Contains(err.Error(), "no such key") {
			t.Errorf("after ParkFor: %v", err)
		}
	})
}

type codecFuncs struct {
	encode, decode func(json.RawMessage) (json.RawMessage, error)
}

func (c codecFuncs) Encode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	if c.encode == nil {
		return args, nil
	}
	return c.encode(args)
}

func (c codecFuncs) Decode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	if c.decode == nil {
		return args, nil
	}
	return c.decode(args)
}
