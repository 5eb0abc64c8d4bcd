package engines_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

// asWorker runs a worker, if this process was started as one. It is nil where
// no test starts any.
var asWorker func() (is bool, err error)

func TestMain(m *testing.M) {
	if asWorker != nil {
		if is, err := asWorker(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		} else if is {
			return
		}
	}
	goleak.VerifyTestMain(m)
}

// engines are all of them, by the URL that a test can use.
var engineURLs = map[string]func(t testing.TB) string{
	"memory":   func(testing.TB) string { return "memory:" },
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "tasks.db") },
	"postgres": func(t testing.TB) string { return servertest.Postgres(t) },
	"redis": func(t testing.TB) string {
		url, _ := servertest.Redis(t)
		return url
	},
}

// pair is a process that enqueues and one that works, with an engine each,
// where that can be.
type pair struct{ web, worker *runtime.App }

func newPair(t *testing.T, url string, cfg func() runtime.Config) pair {
	t.Helper()
	open := func() engine.Engine {
		e, err := engines.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return e
	}
	e := open()
	p := pair{web: runtime.New(e, cfg())}
	if url != "memory:" {
		e = open()
	}
	p.worker = runtime.New(e, cfg())
	return p
}

func (p pair) start(t *testing.T) {
	t.Helper()
	if err := p.worker.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.worker.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// What taskgen generates for
// func Ask(ctx *askContext, depth int, secret string) (answers, error).
type askArgs struct {
	depth  int
	secret string
}

func (a *askArgs) fields(f *wire.Fields) {
	f.Int("depth", &a.depth)
	f.String("secret", &a.secret)
}

var askTask = glue.NewTask[askArgs, answers](wire.Spec{
	Name: "test.Ask", Func: "Ask", Queue: "asked", Retries: 1, Delay: wire.NoDelay,
	Tags:   map[string]string{"kind": "question"},
	Params: []wire.Param{{Name: "depth", Sig: "int"}, {Name: "secret", Sig: "string", Redact: true}},
}, (*askArgs).fields)

func askCall(depth int, secret string, opts ...runtime.Option) runtime.Call[answers] {
	a := askArgs{depth, secret}
	return askTask.Call(a.fields, opts)
}

// answers is what a task was told.
type answers struct {
	Name, Func, Queue, Tags string
	Attempt, MaxRetries     int
	Timed                   bool // it has a deadline, on its context as in its metadata
	Fresh                   bool // it was enqueued a moment ago, in UTC, and its record says the same
	Cached                  bool // its record is read once, and is of the task itself
	ID, ParentID, RootID    string
	EnqueuedAt              time.Time
	Local, Header           string
	Supplied, Kept          string
	Record                  string
	Child                   *answers
}

var (
	requestID = local.New[string]("request_id", local.Travels(), local.InLogs())
	keptKey   = runtime.NewKey[string]("kept", runtime.PerWorker, nil)
)

// askContext is a context type, with what taskgen generates for it.
type askContext struct {
	*runtime.Context
	Config string `task:"supply"`
	Kept   string // once for each worker
}

func newAskContext(ctx *runtime.Context) (*askContext, error) {
	config, err := runtime.Require[string](ctx)
	if err != nil {
		return nil, err
	}
	kept, err := runtime.Stored(ctx, keptKey, func(context.Context) (string, error) { return "opened", nil })
	if err != nil {
		return nil, err
	}
	return &askContext{Context: ctx, Config: config, Kept: kept}, nil
}

// ask asks everything that a task can.
func ask(ctx *askContext, a *askArgs) (answers, error) {
	m := ctx.Metadata()
	ctx.Logger("asker").Info("asking for "+a.secret, "depth", a.depth)
	ctx.Progress(int64(m.Attempt), 2, "asked")
	if m.Attempt == 0 {
		return answers{}, fmt.Errorf("not yet, %s", a.secret)
	}
	rec, err := ctx.Reload()
	if err != nil {
		return answers{}, err
	}
	cached, err := ctx.Record()
	if err != nil {
		return answers{}, err
	}
	deadline, timed := ctx.Deadline()
	r := answers{
		Name: m.Name, Func: m.Func, Queue: m.Queue, Tags: fmt.Sprint(m.Tags.Map()), Attempt: m.Attempt, MaxRetries: m.MaxRetries,
		Timed:  timed && deadline.Equal(m.Deadline),
		Fresh:  time.Since(m.EnqueuedAt) < time.Minute && m.EnqueuedAt.Location() == time.UTC && rec.EnqueuedAt.Equal(m.EnqueuedAt),
		Cached: cached == rec && rec.ID == m.TaskID, EnqueuedAt: m.EnqueuedAt,
		ID: m.TaskID.String(), ParentID: m.ParentID.String(), RootID: m.RootID.String(),
		Local: requestID.GetOr(ctx, "none"), Header: fmt.Sprint(ctx.Value(headerKey{})), Supplied: ctx.Config, Kept: ctx.Kept,
		Record: fmt.Sprint(rec.State, " ", rec.Attempt, " ", string(rec.Args), " ", rec.Progress.Done, " ", logText(rec)),
	}
	if a.depth == 0 {
		return r, nil
	}
	h, err := askCall(a.depth-1, a.secret).Enqueue(ctx, ctx.App())
	if err != nil {
		return r, err
	}
	child, err := h.Wait(context.Background()) // workers remain for it
	r.Child = &child
	return r, err
}

// logText is what was kept of a log, without times.
func logText(rec *runtime.Record) string {
	var lines []string
	for _, l := range rec.Logs {
		lines = append(lines, fmt.Sprintf("%d %t %s:%s:%s", l.Attempt, l.Retry, l.Logger, l.Message, l.Attrs))
	}
	return strings.Join(lines, "; ")
}

type headerKey struct{}

// header is a propagator of one value.
type header struct{}

func (header) Inject(ctx context.Context, headers map[string]string) {
	headers["header"] = fmt.Sprint(ctx.Value(headerKey{}))
}

func (header) Extract(ctx context.Context, headers map[string]string) context.Context {
	return context.WithValue(ctx, headerKey{}, headers["header"])
}

// The same task, enqueued by one process and run by another, is told the same on
// every engine, and the same is on its record.
//
// Proves: FEATURES 29, 71
func TestEngines_AnswerTheSame(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			var logged strings.Builder
			logger := slog.New(slog.NewTextHandler(&logged, nil)) // whose handler takes one line at a time
			p := newPair(t, url(t), func() runtime.Config {
				return runtime.Config{
					Workers: 4, Queues: []string{"asked"}, KeepLogs: 10, Propagators: []hook.Propagator{header{}}, Logger: logger,
				}
			})
			glue.RegisterContext(p.worker, newAskContext, glue.NeedSupply[string]())
			glue.Register(p.worker, askTask, ask)
			runtime.Supply(p.worker, "configuration")
			p.start(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ctx = local.With(context.WithValue(ctx, headerKey{}, "h-1"))
			if err := requestID.Set(ctx, "r-1"); err != nil {
				t.Fatal(err)
			}
			h, err := askCall(1, "canary", runtime.WithTag("plan", "pro"), runtime.WithTimeout(time.Hour)).Enqueue(ctx, p.web)
			if err != nil {
				t.Fatal(err)
			}
			got, err := h.Wait(ctx)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := p.web.Lookup(ctx, h.ID())
			if err != nil {
				t.Fatal(err)
			}
			none := "00000000-0000-0000-0000-000000000000"
			const log = "0 false asker:asking for [redacted]:request_id=r-1 depth=%[1]d; " +
				"1 true :retry 1 of 1:; 1 false asker:asking for [redacted]:request_id=r-1 depth=%[1]d"
			const record = `running 1 {"depth":%[1]d,"secret":"[redacted]"} 1 ` + log
			want := answers{
				Name: "test.Ask", Func: "Ask", Queue: "asked", Tags: "map[kind:question plan:pro]", Attempt: 1, MaxRetries: 1,
				Timed: true, Fresh: true, Cached: true, EnqueuedAt: rec.EnqueuedAt,
				ID: h.ID().String(), ParentID: none, RootID: h.ID().String(),
				Local: "r-1", Header: "h-1", Supplied: "configuration", Kept: "opened", Record: fmt.Sprintf(record, 1),
			}
			child := want
			child.Tags, child.Timed, child.ParentID = "map[kind:question]", false, h.ID().String()
			if got.Child != nil { // which nobody else knows
				child.ID, child.EnqueuedAt = got.Child.ID, got.Child.EnqueuedAt
			}
			child.Record = fmt.Sprintf(record, 0)
			want.Child = &child
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the task was told (- want, + got):\n%s", diff)
			}
			if rec.State != engine.StateSucceeded || rec.Progress == nil || rec.Progress.Done != 1 || logText(rec) != fmt.Sprintf(log, 1) ||
				len(rec.Errors) != 1 || rec.Errors[0].Error != "not yet, [redacted]" {
				t.Errorf("the record is %s, %+v, %v, %s", rec.State, rec.Progress, rec.Errors, logText(rec))
			}
			if err := p.worker.Stop(ctx); err != nil {
				t.Error(err)
			}
			if text := logged.String(); strings.Contains(text, "canary") || strings.Count(text, "[redacted]") < 4 {
				t.Errorf("the log shows the secret, or nothing:\n%s", text)
			}
		})
	}
}

// Proves: FEATURES 63
func TestEngines_EveryTickIsOneTask(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, url(t), func() runtime.Config {
				return runtime.Config{Queues: []string{"asked"}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
			})
			ran := make(chan string, 100)
			for _, app := range []*runtime.App{p.web, p.worker} { // both work
				glue.Register(app, askTask, func(ctx *runtime.Context, _ *askArgs) (answers, error) {
					ran <- ctx.Metadata().Tags.Get(runtime.TagTick)
					return answers{}, nil
				})
				runtime.Every(app, runtime.Interval(time.Second), askCall(0, ""))
			}
			p.start(t)
			pair{worker: p.web}.start(t)
			seen := make(map[string]bool)
			for len(seen) < 3 {
				select {
				case tick := <-ran:
					if seen[tick] {
						t.Errorf("tick %s ran twice", tick)
					}
					seen[tick] = true
				case <-time.After(time.Minute):
					t.Fatalf("only %d ticks ran", len(seen))
				}
			}
		})
	}
}

// What a task ends itself with is the same on every engine.
//
// Proves: FEATURES 51, 71
func TestEngines_EndsAreTheSame(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, url(t), func() runtime.Config {
				return runtime.Config{Queues: []string{"asked"}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
			})
			ends := []error{runtime.Cancelled(""), runtime.Permanent(errors.New("no use")), errors.New("fails"), runtime.Trigger()}
			glue.Register(p.worker, askTask, func(_ *runtime.Context, a *askArgs) (answers, error) {
				return answers{}, ends[a.depth]
			})
			p.start(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for i, want := range []string{
				"cancelled: test.Ask.cancel, attempt 0", "failed: no use, attempt 0", "failed: fails, attempt 1",
				"failed: task triggered, attempt 1",
			} {
				h, err := askCall(i, "").Enqueue(ctx, p.web)
				if err != nil {
					t.Fatal(err)
				}
				_, err = h.Wait(ctx)
				var failed *runtime.TaskError
				if !errors.As(err, &failed) {
					t.Errorf("%v ends as %v", ends[i], err)
					continue
				}
				rec, err := h.Record(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprintf("%s: %s, attempt %d", failed.State, failed.Reason, rec.Attempt); got != want {
					t.Errorf("%v ends as %q, want %q", ends[i], got, want)
				}
			}
		})
	}
}
