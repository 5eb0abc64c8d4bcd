package typetable

import (
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Results go the way of parameters.
//
// Proves: FEATURES 75, RELIABILITY 13
func TestTypes_Results(t *testing.T) {
	var (
		app   = runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: slog.New(slog.DiscardHandler)})
		tests []func(t *testing.T)
	)
	tests = append(tests,
		result(app, "string", text),
		result(app, "int64", int64(1<<53+1)),
		result(app, "Plan", Plan("pro")),
		result(app, "time", at.UTC()),
		result(app, "order", Order{1, "pro", []Money{money}, map[string]*Money{"a": &money}, &text}),
		result(app, "pointer", &money),
		result(app, "nil", (*Money)(nil)),
		result(app, "slice", []Color{{1, 2, 3}}),
		result(app, "empty", []string{}),
		result(app, "uuid", uuid.Max),
		result(app, "raw", json.RawMessage(`{"a":1}`)),
	)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		test(t)
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func result[R any](app *runtime.App, name string, want R) func(t *testing.T) {
	task := glue.NewTask[struct{}, R](wire.Spec{Name: name}, nil)
	glue.Register(app, task, func(context.Context, *struct{}) (R, error) { return want, nil })
	return func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h, err := task.Call(nil, nil).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.Wait(ctx); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
}
