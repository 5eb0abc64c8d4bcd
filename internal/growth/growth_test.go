package growth

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the matrix in docs/changing-tasks.md")

// version is a form of the order, with two calls of the task that has it.
type version struct {
	order       string               // the struct
	empty, full runtime.Call[string] // without and with its fields that may be left out
}

var (
	small = Base{ID: "o-1", Cents: 500}
	large = Base{ID: "o-1", Cents: 500, Coupon: "ten"}
	at    = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

	bare      = version{"Bare", TakeBareCall(Bare{"o-1", 500}), TakeBareCall(Bare{"o-1", 500})}
	base      = version{"Base", TakeBaseCall(small), TakeBaseCall(large)}
	waits     = version{"Waits", TakeWaitsCall(Waits{small, 0}), TakeWaitsCall(Waits{large, 7})}
	durations = version{"Durations", TakeDurationsCall(Durations{small, 0}), TakeDurationsCall(Durations{large, 7})}
	taxed     = version{"Taxed", TakeTaxedCall(Taxed{small, 1}), TakeTaxedCall(Taxed{large, 1})}
	placed    = version{"Placed", TakePlacedCall(Placed{small, time.Time{}}), TakePlacedCall(Placed{large, at})}
	renamed   = version{"Renamed", TakeRenamedCall(Renamed{"o-1", 500, ""}), TakeRenamedCall(Renamed{"o-1", 500, "ten"})}
	rekeyed   = version{"Rekeyed", TakeRekeyedCall(Rekeyed{"o-1", 500, ""}), TakeRekeyedCall(Rekeyed{"o-1", 500, "ten"})}
	priced    = version{"Priced", TakePricedCall(Priced{"o-1", 500, ""}), TakePricedCall(Priced{"o-1", 500, "ten"})}
	sparse    = version{"Sparse", TakeSparseCall(Sparse{"o-1", 0, ""}), TakeSparseCall(Sparse{"o-1", 500, "ten"})}
	loose     = version{"Loose", TakeLooseCall(Loose{Sparse{"o-1", 0, ""}, 0}), TakeLooseCall(Loose{Sparse{"o-1", 500, "ten"}, 7})}
	lines     = version{"Lines", TakeLinesCall(Lines{small, []Line{{"a"}}}), TakeLinesCall(Lines{large, []Line{{"a"}}})}
	noted     = version{
		"Noted", TakeNotedCall(Noted{small, []NotedLine{{"a", ""}}}), TakeNotedCall(Noted{large, []NotedLine{{"a", "gift"}}}),
	}
)

// The changes of the matrix.
var changes = []struct {
	what     string
	from, to *version
}{
	{"add a field with `omitzero` or `omitempty`", &base, &waits},
	{"add the first one", &bare, &base},
	{"add one to a struct within", &lines, &noted},
	{"add one of a struct's or an array's type with `omitempty` alone, which encoding/json never leaves out", &base, &placed},
	{"add a field without either", &base, &taxed},
	{"remove a field with either", &waits, &base},
	{"remove the last one", &base, &bare},
	{"remove a field without", &taxed, &base},
	{"rename a field in Go, and keep its key in the tag", &base, &renamed},
	{"change the key of a field with either", &base, &rekeyed},
	{"change the type of a field with either, as int64 to time.Duration", &waits, &durations},
	{"change the type of a field without", &base, &priced},
	{"give a field `omitempty`", &base, &sparse},
	{"take `omitempty` away", &sparse, &base},
	{"give a field `omitempty`, and add another at once", &base, &loose},
}

// TestGrowth_Matrix enqueues tasks before and after each change, runs them with
// workers of before and after, and asks taskgen about the change.
//
// Proves: FEATURES 73, 115
func TestGrowth_Matrix(t *testing.T) {
	verdicts := ask(t)
	var table strings.Builder
	table.WriteString("| change of a struct | enqueued before, run after | enqueued after, run before | taskgen, with tasks.lock |\n|---|---|---|---|\n")
	for i, c := range changes {
		for _, v := range []*version{c.from, c.to} {
			require.Equal(t, "runs", outcome(t, v, v), "%s by the same version", v.order)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", c.what, outcome(t, c.from, c.to), outcome(t, c.to, c.from), verdicts[i])
	}
	if !t.Failed() {
		compare(t, table.String())
	}
}

// outcome tells in words what becomes of the tasks of one version with a worker of
// another.
func outcome(t *testing.T, producer, worker *version) string {
	t.Helper()
	return inWords(runs(t, producer.empty, worker), runs(t, producer.full, worker))
}

// inWords tells which tasks ran: without and with the fields that may be left out.
func inWords(empty, full bool) string {
	switch {
	case empty && full:
		return "runs"
	case empty:
		return "runs without the field, parked with it"
	case full:
		return "parked without the field"
	}
	return "parked"
}

// runs reports whether a worker of the version runs the call, with all that it has,
// or else parks it.
func runs(t *testing.T, call runtime.Call[string], v *version) (ran bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		eng := memory.New(memory.Config{})
		app := runtime.New(eng, runtime.Config{Logger: slog.New(slog.DiscardHandler)})
		RegisterTasks(app)
		require.NoError(t, app.Start(t.Context()))
		h, err := call.Enqueue(t.Context(), app.Via(asTask{eng, v.empty.AnyCall.Name()}))
		require.NoError(t, err)
		synctest.Wait()
		rec, err := h.Record(t.Context())
		require.NoError(t, err)
		if ran = rec.State == engine.StateSucceeded; ran {
			got, err := runtime.HandleOf[string](app, h.ID()).Wait(t.Context())
			require.NoError(t, err)
			same(t, call.AnyCall.Args(), got, v)
		} else {
			require.Equal(t, engine.StateRetrying, rec.State)
			require.Zero(t, rec.Attempt, "parked, and not run: %s", rec.Reason)
		}
		require.NoError(t, app.Stop(context.Background()))
	})
	return ran
}

// asTask inserts tasks under the name that the worker has for its version: both are
// one task, which one package cannot have twice.
type asTask struct {
	engine.Engine
	name string
}

func (e asTask) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	for _, m := range ms {
		m.Name = e.name
	}
	return e.Engine.Insert(ctx, ms)
}

// same requires that the worker got the order that was sent: what either lacks is
// zero in the other.
func same(t *testing.T, args json.RawMessage, got string, v *version) {
	t.Helper()
	var sent struct{ Order map[string]any }
	var seen map[string]any
	require.NoError(t, json.Unmarshal(args, &sent))
	require.NoError(t, json.Unmarshal([]byte(got), &seen))
	assert.Equal(t, prune(sent.Order), prune(seen), "what %s got of %s", v.order, args)
}

// prune leaves out zero values.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if p := prune(value); p != nil {
				out[key] = p
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = prune(v[i])
		}
		return out
	case string:
		if v == "" || v == "0001-01-01T00:00:00Z" {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	}
	return v
}

const (
	document = "../../docs/changing-tasks.md"
	begin    = "<!-- written by make growth -->\n"
	end      = "<!-- end -->\n"
)

// compare fails if the matrix in the document is another, or writes it.
func compare(t *testing.T, table string) {
	t.Helper()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "%s has no place for the matrix", document)
	old, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s has no end of the matrix", document)
	if *update {
		require.NoError(t, os.WriteFile(document, []byte(before+begin+table+end+after), 0o644))
		return
	}
	assert.Equal(t, table, old, "run make growth")
}
