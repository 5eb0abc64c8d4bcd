package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/memory"
)

// upside is a codec that reverses text, where another would encrypt it.
type upside struct{}

func (upside) Encode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	return json.Marshal(map[string][]byte{"sealed": reverse(args)})
}

func (upside) Decode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	var sealed map[string][]byte
	err := json.Unmarshal(args, &sealed)
	return reverse(sealed["sealed"]), err
}

func reverse(b []byte) []byte {
	r := bytes.Clone(b)
	for i := range r {
		r[i] = b[len(b)-1-i]
	}
	return r
}

// A codec transforms what engines store of the arguments.
func ExampleCodec() {
	charge := newUnit[string, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Codec: upside{}})
	charge.handle(app, func(_ *runtime.Context, card string) (string, error) { return card, nil })
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call("4711").Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	rec, err := h.Record(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(bytes.Contains(rec.Args, []byte("4711")))
	// Output:
	// 4711 <nil>
	// false
}
