package engines_test

import (
	"bufio"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
)

// limit is a row of the table in docs/engines.md that says what an engine
// cannot do: what each engine takes at the limit, and what it refuses. An
// engine that is not named takes all of it.
type limit struct {
	row   string
	edits []func(m *engine.Message) // what is asked for, one at a time
	batch int                       // so many at once
	// refused is by what error which engines refuse it; the others take it.
	refused map[string]error
}

// by makes the map of engines that refuse something as unsupported.
func by(engines ...string) map[string]error {
	m := make(map[string]error)
	for _, e := range engines {
		m[e] = engine.ErrUnsupported
	}
	return m
}

func set(edit func(m *engine.Message)) []func(m *engine.Message) {
	return []func(m *engine.Message){edit}
}

func names(names ...string) (edits []func(m *engine.Message)) {
	for _, n := range names {
		edits = append(edits, func(m *engine.Message) { m.Name = n })
	}
	return edits
}

func queues(names ...string) (edits []func(m *engine.Message)) {
	for _, n := range names {
		edits = append(edits, func(m *engine.Message) { m.Queue = n })
	}
	return edits
}

func priorities(ps ...int8) (edits []func(m *engine.Message)) {
	for _, p := range ps {
		edits = append(edits, func(m *engine.Message) { m.Priority = p })
	}
	return edits
}

var limits = []limit{
	{row: "priorities", edits: priorities(1, 2, 3), refused: by("redis")},
	{row: "priorities", edits: priorities(-1, 4), refused: by("memory", "sqlite", "postgres", "redis")},
	{row: "names of tasks", edits: names("ab", strings.Repeat("n", 127), "a.b_c-d[e]<f>/g·h:i+")},
	{row: "names of tasks", edits: names("a", strings.Repeat("n", 128), "with space", "$"), refused: by("postgres")},
	{row: "names of tasks", edits: names(""), refused: by("postgres", "redis")},
	{row: "names of queues", edits: queues("q", strings.Repeat("q", 127), "with space")},
	{row: "names of queues", edits: queues(strings.Repeat("q", 128)), refused: by("postgres")},
	{row: "names of queues", edits: queues(" "), refused: by("redis")},
	{row: "retries", edits: set(func(m *engine.Message) { m.Meta.Retries = 30_000 })},
	{row: "retries", edits: set(func(m *engine.Message) { m.Meta.Retries = 30_001 }), refused: by("postgres")},
	{row: "retries", edits: set(func(m *engine.Message) { m.Meta.Retries = 1 << 30 }), refused: by("postgres")},
	{row: "how long records are kept", edits: set(func(m *engine.Message) { m.KeepFailed = 90 * 24 * time.Hour })},
	{row: "how long records are kept", edits: set(func(m *engine.Message) { m.Keep = 90*24*time.Hour + 1 })},
	{row: "how long records are kept", edits: set(func(m *engine.Message) { m.KeepFailed = 90*24*time.Hour + 1 }),
		refused: by("redis")},
	{row: "replacing a task that waits (`WithReplace`)", edits: set(func(m *engine.Message) {
		m.Key, m.KeyHold, m.Replace = "k", engine.HoldWaiting, true
	})},
	{row: "arguments", edits: set(func(m *engine.Message) { m.Args = []byte(`{"s":"a\u0000b"}`) }),
		refused: map[string]error{"postgres": errAny}},
	{row: "tasks in one batch", edits: set(func(*engine.Message) {}), batch: 100_001,
		refused: map[string]error{"memory": engine.ErrQueueFull, "redis": engine.ErrUnsupported}},
}

// errAny stands for a refusal that no error of the runtime is.
var errAny = errors.New("any")

// part is a row of the table that an optional part of the contract is about, which
// some engines have not.
type part struct {
	has  func(e engine.Engine) bool
	none []string
}

var parts = map[string]part{
	"durable tasks":                    {has: has[engine.Journaler]},
	"limits, and order by a parameter": {has: has[engine.Limiter]},
	"rates":                            {has: rated},
	"pauses":                           {has: has[engine.Pauser]},
	"running a task before its time":   {has: has[engine.NowRunner]},
	"history":                          {has: has[engine.Historian]},
}

// rated reports whether the engine takes a task with a rate.
func rated(e engine.Engine) bool {
	m := &engine.Message{Name: "limits.Task", Queue: "limits", Limits: []engine.Limit{{Rule: "r", Key: "r", Most: 1, Per: time.Second}}}
	return has[engine.Limiter](e) && e.Check(m) == nil
}

func has[T any](e engine.Engine) bool {
	_, ok := engine.As[T](e)
	return ok
}

// notOptions are the rows of the table that no option of a task is about.
var notOptions = []string{"order of tasks that are due already", "records of failed and cancelled tasks", "clusters"}

// TestEngines_Limits holds docs/engines.md to its word: what an engine cannot do is
// ErrUnsupported from Check and from Insert, which stores nothing; all else it
// takes. Each row of the table is tested.
func TestEngines_Limits(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			e, err := engines.Open(t.Context(), url(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			})
			for _, l := range limits {
				for _, edit := range l.edits {
					l.try(t, e, edit, l.refused[name])
				}
			}
			for row, p := range parts {
				if got, want := p.has(e), !slices.Contains(p.none, name); got != want {
					t.Errorf("%s: %t, want %t", row, got, want)
				}
			}
		})
	}
	var tested []string
	for _, l := range limits {
		tested = append(tested, l.row)
	}
	tested = append(slices.AppendSeq(tested, maps.Keys(parts)), notOptions...)
	slices.Sort(tested)
	rows := tableRows(t, "../../docs/engines.md", "## What an engine cannot do")
	slices.Sort(rows)
	if diff := cmp.Diff(rows, slices.Compact(tested)); diff != "" {
		t.Errorf("the rows of the table in docs/engines.md (-) and what is tested (+):\n%s", diff)
	}
}

// try inserts what the engine is to refuse with an error, or, if want is nil, to
// take.
func (l *limit) try(t *testing.T, e engine.Engine, edit func(*engine.Message), want error) {
	t.Helper()
	n := max(l.batch, 1)
	if want == nil {
		n = max(n/10, 1) // any number cannot be tried
	}
	ms := make([]*engine.Message, n)
	for i := range ms {
		ms[i] = &engine.Message{
			Name: "limits.Task", Queue: "limits", Args: []byte(`{}`), Keep: time.Hour,
			Meta: engine.Meta{Version: engine.WirePlain, ID: uuid.Must(uuid.NewV7()), EnqueuedAt: time.Now()},
		}
		edit(ms[i])
	}
	m := ms[0]
	ins, err := e.Insert(t.Context(), ms)
	if !errors.Is(err, want) && (want != errAny || err == nil) {
		t.Errorf("%s: %d of name %.20q, queue %.20q, priority %d, retries %d, kept for %s: error %v, want %v",
			l.row, len(ms), m.Name, m.Queue, m.Priority, m.Meta.Retries, m.Keep, err, want)
	}
	if want == nil {
		if err == nil && ins[0].Err != nil {
			t.Errorf("%s: %v", l.row, ins[0].Err)
		}
		return
	}
	if want == engine.ErrUnsupported && l.batch == 0 {
		if err := e.Check(m); !errors.Is(err, want) {
			t.Errorf("%s: Check: %v, want %v", l.row, err, want)
		}
	}
	entries, _, err := e.List(t.Context(), engine.Query{Name: m.Name, Queue: m.Queue})
	for _, entry := range entries {
		if slices.ContainsFunc(ms, func(m *engine.Message) bool { return m.Meta.ID == entry.ID }) {
			t.Errorf("%s: what was refused is stored", l.row)
		}
	}
	if err != nil {
		t.Errorf("%s: List: %v", l.row, err)
	}
}

// tableRows returns the first cells of the first table below a heading.
func tableRows(t *testing.T, path, heading string) (rows []string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	below := false
	for in := bufio.NewScanner(f); in.Scan(); {
		line := in.Text()
		cells := strings.Split(line, "|")
		switch {
		case line == heading:
			below = true
		case !below || len(cells) < 3 && len(rows) == 0:
		case len(cells) < 3:
			return rows
		case strings.TrimSpace(cells[1]) != "" && !strings.HasPrefix(cells[1], "---"):
			rows = append(rows, strings.TrimSpace(cells[1]))
		}
	}
	return rows
}
