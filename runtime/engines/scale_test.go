package engines_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

var (
	scaleSizes   = flag.String("scale", "0,1000", "how many tasks wait, or have ended, in TestScale")
	scaleEngines = flag.String("scaleengines", "memory,sqlite,postgres,redis", "the engines of TestScale")
	scalePage    = flag.String("scalepage", "", "the page that TestScale writes its tables into")
)

// scaleMark is where the tables begin in the page.
const scaleMark = "<!-- make scale writes what follows -->\n"

const scaleQueues = 10

type scaleArgs struct{ n int }

func (a *scaleArgs) fields(f *wire.Fields) { f.Int("n", &a.n) }

var scaleTask = glue.NewTask[scaleArgs, int](wire.Spec{
	Name: "scale.Task", Func: "Task", Params: []wire.Param{{Name: "n", Sig: "int"}},
}, (*scaleArgs).fields)

func scaleCall(opts ...runtime.Option) runtime.Call[int] {
	a := scaleArgs{}
	return scaleTask.Call(a.fields, opts)
}

// scaleWorld is an engine with tasks in it.
type scaleWorld struct {
	e        engine.Engine
	priority bool
	n        int
}

// TestScale measures what calls cost beside a backlog: few tasks by default, and
// by "make scale" as many as docs/speed/scale.md shows. What it proves by itself is
// that the first page of a filter that selects nothing is not the whole table.
func TestScale(t *testing.T) {
	var sizes []int
	for s := range strings.SplitSeq(*scaleSizes, ",") {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		sizes = append(sizes, n)
	}
	var page strings.Builder
	for name := range strings.SplitSeq(*scaleEngines, ",") {
		for _, what := range []string{"waiting", "ended"} {
			t.Run(name+"/"+what, func(t *testing.T) {
				if testing.Short() && name != "memory" && name != "sqlite" {
					t.Skip("needs a server: not in a short run")
				}
				w := openScale(t, name)
				fill := map[string]func(*testing.T, int){"waiting": w.fill, "ended": w.end}[what]
				var columns [][][2]string
				for _, n := range sizes {
					fill(t, n-w.n)
					w.n = n
					columns = append(columns, w.measure(t))
					t.Logf("%d %s: %v", n, what, columns[len(columns)-1])
				}
				page.WriteString(scaleTable(name+", "+what, sizes, columns))
			})
		}
	}
	if *scalePage == "" {
		return
	}
	text, err := os.ReadFile(*scalePage)
	require.NoError(t, err)
	head, _, _ := strings.Cut(string(text), scaleMark)
	require.NoError(t, os.WriteFile(*scalePage, []byte(head+scaleMark+page.String()), 0o644)) // a page of the documentation
}

func openScale(t *testing.T, name string) *scaleWorld {
	t.Helper()
	w := &scaleWorld{priority: name != "redis"}
	var url string
	switch name {
	case "memory":
		w.e = memory.New(memory.Config{Capacity: 3_000_000, Records: 3_000_000})
	case "sqlite":
		url = "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	case "postgres":
		url = servertest.Postgres(t)
	case "redis":
		url, _ = servertest.Redis(t)
	default:
		t.Fatalf("no engine %q", name)
	}
	if url != "" {
		e, err := engines.Open(t.Context(), url)
		require.NoError(t, err)
		w.e = e
	}
	t.Cleanup(func() { require.NoError(t, w.e.Close()) })
	return w
}

func scaleQueue(i int) runtime.Option { return runtime.WithQueue(fmt.Sprint("q", i%scaleQueues)) }

func (w *scaleWorld) app(workers int, queues ...string) *runtime.App {
	if len(queues) == 0 {
		for i := range scaleQueues {
			queues = append(queues, fmt.Sprint("q", i))
		}
	}
	return runtime.New(w.e, runtime.Config{
		Workers: workers, Queues: queues, Keep: 24 * time.Hour,
		Logger: slog.New(slog.DiscardHandler),
	})
}

// lots calls add with what each of n tasks is to be enqueued with, in batches.
func (w *scaleWorld) lots(t *testing.T, app *runtime.App, n int, options func(i int) []runtime.Option) {
	t.Helper()
	for i := 0; i < n; i += 2000 {
		var b runtime.Batch
		for j := i; j < min(i+2000, n); j++ {
			opts := append(options(j), scaleQueue(j))
			if j%1000 == 7 {
				opts = append(opts, runtime.WithTag("rare", "yes"))
			}
			runtime.AddTo(&b, scaleCall(opts...))
		}
		require.NoError(t, b.Enqueue(t.Context(), app))
	}
}

// fill adds waiting tasks: more than half are due later.
func (w *scaleWorld) fill(t *testing.T, n int) {
	t.Helper()
	w.lots(t, w.app(1), n, func(i int) (opts []runtime.Option) {
		if i%10 < 6 {
			opts = append(opts, runtime.WithDelay(2*time.Hour+time.Duration(i)*time.Millisecond))
		}
		if w.priority {
			opts = append(opts, runtime.WithPriority(i/50%4))
		}
		return opts
	})
}

// end adds ended tasks: of 50 one has failed, of 200 one was cancelled.
func (w *scaleWorld) end(t *testing.T, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	var ran atomic.Int64
	app := w.app(100)
	all := make(chan struct{})
	glue.Register(app, scaleTask, func(context.Context, *scaleArgs) (int, error) {
		i := ran.Add(1)
		if i == int64(n) {
			close(all)
		}
		switch {
		case i%50 == 3:
			return 0, runtime.Permanent(errors.New("no"))
		case i%200 == 5:
			return 0, runtime.Cancelled("not needed")
		}
		return int(i), nil
	})
	require.NoError(t, app.Start(t.Context()))
	go w.lots(t, app, n, func(int) []runtime.Option { return nil })
	<-all
	require.NoError(t, app.Stop(context.Background()))
}

// measure returns what calls cost now: a name and a figure each.
func (w *scaleWorld) measure(t *testing.T) (figures [][2]string) {
	t.Helper()
	ctx, app := t.Context(), w.app(10)
	ran := make(chan struct{}, 100_000)
	glue.Register(app, scaleTask, func(context.Context, *scaleArgs) (int, error) {
		ran <- struct{}{}
		return 0, nil
	})
	put := func(name string, n int, f func(i int) error) {
		took := make([]time.Duration, n)
		for i := range took {
			from := time.Now()
			require.NoError(t, f(i), name)
			took[i] = time.Since(from)
		}
		slices.Sort(took)
		figures = append(figures, [2]string{name, took[n/2].Round(time.Microsecond).String()})
	}
	var ids []uuid.UUID
	enqueue := func(i int, opts ...runtime.Option) error {
		h, err := scaleCall(append(opts, scaleQueue(i))...).Enqueue(ctx, app)
		if err == nil {
			ids = append(ids, h.ID())
		}
		return err
	}
	put("enqueue", 100, func(i int) error { return enqueue(i) })
	put("enqueue, due later", 100, func(i int) error { return enqueue(i, runtime.WithDelay(3*time.Hour)) })
	put("Lookup", 50, func(i int) error { _, err := app.Lookup(ctx, ids[i]); return err })
	put("Cancel, pending", 50, func(i int) error { return app.Cancel(ctx, ids[i], "") })
	put("Cancel, due later", 50, func(i int) error { return app.Cancel(ctx, ids[100+i], "") })
	put("Retry", 20, func(i int) error { return app.Retry(ctx, ids[i]) })
	put("Delete", 50, func(i int) error { return app.Delete(ctx, ids[i]) })
	for _, q := range scaleFilters {
		put("List, "+q.name, 5, func(int) error { _, _, err := app.List(ctx, q.query); return err })
	}
	put("Counts", 5, func(int) error { _, err := app.Counts(ctx); return err })
	return append(figures, w.workOff(t, app, ran))
}

// workOff runs tasks that are enqueued now, or were before.
func (w *scaleWorld) workOff(t *testing.T, app *runtime.App, ran <-chan struct{}) [2]string {
	t.Helper()
	n := min(2000, 200+w.n/10)
	w.lots(t, app, n, func(int) []runtime.Option { return nil })
	require.NoError(t, app.Start(t.Context()))
	from := time.Now()
	for range n {
		<-ran
	}
	took := time.Since(from)
	require.NoError(t, app.Stop(context.Background()))
	return [2]string{"work off, 10 workers", fmt.Sprintf("%.0f/s", float64(n)/took.Seconds())}
}

var scaleFilters = []struct {
	name  string
	query engine.Query
}{
	{"no filter", engine.Query{}},
	{"no filter, brief", engine.Query{Brief: true}},
	{"pending", engine.Query{States: []engine.State{engine.StatePending}}},
	{"scheduled", engine.Query{States: []engine.State{engine.StateScheduled}}},
	{"running, none", engine.Query{States: []engine.State{engine.StateRunning}}},
	{"succeeded", engine.Query{States: []engine.State{engine.StateSucceeded}}},
	{"failed", engine.Query{States: []engine.State{engine.StateFailed}}},
	{"a queue", engine.Query{Queue: "q3"}},
	{"a queue, failed", engine.Query{Queue: "q3", States: []engine.State{engine.StateFailed}}},
	{"a queue that is not there", engine.Query{Queue: "none"}},
	{"a name that is not there", engine.Query{Name: "none"}},
	{"a tag of few", engine.Query{Tag: "rare", TagValue: "yes"}},
	{"a tag of none", engine.Query{Tag: "none"}},
}

// scaleTable is a table in Markdown.
func scaleTable(title string, sizes []int, columns [][][2]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n| tasks |", strings.ToUpper(title[:1])+title[1:])
	for _, n := range sizes {
		fmt.Fprintf(&b, " %d |", n)
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("--:|", len(sizes)))
	for i, f := range columns[0] {
		fmt.Fprintf(&b, "| %s |", f[0])
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c[i][1])
		}
		b.WriteString("\n")
	}
	return b.String()
}
