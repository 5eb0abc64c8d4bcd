package runtime_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// order validates itself by a pointer, amount by its value.
type order struct{ Cents int }

var errCents = errors.New("cents must be positive")

func (o *order) Validate() error {
	if o.Cents == 666 {
		panic("boom")
	}
	return amount(o.Cents).Validate()
}

type amount int

func (a amount) Validate() error {
	if a <= 0 {
		return fmt.Errorf("%w, not %d", errCents, int(a))
	}
	return nil
}

// validated enqueues and runs a task with a parameter of type T, and then what
// a producer without validation sends, which is raw.
func validated[T any](t *testing.T, v T, raw string) (enqueue, run error) {
	t.Helper()
	eng := memory.New(memory.Config{})
	defer eng.Close()
	app := runtime.New(eng, runtime.Config{Logger: discard})
	u := newUnit[T, int]("test.Unit", retries(3))
	var runs atomic.Int64
	u.handle(app, func(*runtime.Context, T) (int, error) { runs.Add(1); return 0, nil })
	start(t, app)
	defer app.Stop(t.Context())
	_, enqueue = u.call(v).Enqueue(t.Context(), app)
	m := &engine.Message{Name: "test.Unit", Queue: "default", Args: json.RawMessage(`{"v":` + raw + `}`)}
	ins, err := eng.Insert(t.Context(), []*engine.Message{m})
	if err != nil {
		t.Fatal(err)
	}
	_, run = runtime.HandleOf[int](app, ins[0].ID).Wait(t.Context())
	if rec, err := app.Lookup(t.Context(), ins[0].ID); err != nil || rec.Attempt != 0 {
		t.Errorf("the task was retried: %+v, %v", rec, err)
	}
	if run != nil && runs.Load() > 0 {
		t.Error("the task ran with an argument that is not valid")
	}
	return enqueue, run
}

// Proves: FEATURES 62
func TestValidator_ArgumentsValidateThemselves(t *testing.T) {
	tests := []struct {
		name         string
		try          func() (enqueue, run error)
		enqueue, run string // in the error; empty: there is none
	}{
		{"valid", func() (error, error) { return validated(t, order{1}, `{"Cents":1}`) }, "", ""},
		{"by pointer", func() (error, error) { return validated(t, order{}, `{"Cents":0}`) },
			"cents must be positive, not 0", "cents must be positive, not 0"},
		{"by value", func() (error, error) { return validated(t, amount(-1), `-1`) },
			"cents must be positive, not -1", "cents must be positive, not -1"},
		{"a pointer", func() (error, error) { return validated(t, &order{}, `{"Cents":0}`) }, "not 0", "not 0"},
		{"a nil pointer", func() (error, error) { return validated[*order](t, nil, `null`) }, "", ""},
		{"elements", func() (error, error) { return validated(t, []order{{1}, {}}, `[{"Cents":1},{"Cents":-2}]`) },
			"element 1: cents must be positive, not 0", "element 1: cents must be positive, not -2"},
		{"pointers", func() (error, error) { return validated(t, []*order{nil, {}}, `[null,{"Cents":-2}]`) },
			"element 1: ", "element 1: "},
		{"panic", func() (error, error) { return validated(t, order{666}, `{"Cents":666}`) }, "panic: boom", "panic: boom"},
	}
	for _, tt := range tests {
		enqueue, run := tt.try()
		for what, c := range map[string]struct {
			err  error
			want string
		}{"enqueue": {enqueue, tt.enqueue}, "run": {run, tt.run}} {
			if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
				t.Errorf("%s: %s: %v, want %q", tt.name, what, c.err, c.want)
			}
		}
		var invalid *wire.InvalidError
		if tt.enqueue != "" && (!errors.As(enqueue, &invalid) || invalid.Param != "v") {
			t.Errorf("%s: Enqueue returns %#v, want an InvalidError of v", tt.name, enqueue)
		}
	}
}

// Arguments that cannot be read are parked, not refused: a newer worker may
// read them.
func TestValidator_UnreadableArgumentsAreNotInvalid(t *testing.T) {
	eng := memory.New(memory.Config{})
	defer eng.Close()
	app := runtime.New(eng, runtime.Config{Logger: discard})
	u := newUnit[order, int]("test.Unit")
	u.handle(app, func(*runtime.Context, order) (int, error) { return 0, nil })
	m, err := app.Prepare(t.Context(), u.call(order{Cents: 1})) // not of a foreign producer, whose further keys are left out
	require.NoError(t, err)
	m.Args = json.RawMessage(`{"v":{"Cents":0},"more":1}`)
	ins, err := eng.Insert(t.Context(), []*engine.Message{m})
	if err != nil {
		t.Fatal(err)
	}
	start(t, app)
	defer app.Stop(t.Context())
	for {
		rec, err := app.Lookup(t.Context(), ins[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Reason != "" {
			if rec.State.Final() || strings.Contains(rec.Reason, "not valid") {
				t.Errorf("the task is %s: %s", rec.State, rec.Reason)
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Proves: FEATURES 62, 80
func TestValidator_HidesRedactedParameters(t *testing.T) {
	u := newUnit[amount, int]("test.Unit", func(s *wire.Spec) { s.Params[0].Redact = true })
	_, err := u.call(-4711).Enqueue(t.Context(), newUnitApp(t, runtime.Config{}))
	if !errors.Is(err, errCents) || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "cents") {
		t.Errorf("Enqueue: %v, which is errCents: %t", err, errors.Is(err, errCents))
	}
}
