package postgres_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/process"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/wire"
)

type jsonText = json.RawMessage

// echo is a task that returns its argument.
type echoArgs struct{ v json.RawMessage }

func (a *echoArgs) fields(f *wire.Fields) { f.JSON("v", &a.v) }

var echoTask = glue.NewTask[echoArgs, json.RawMessage](wire.Spec{
	Name: "app.echo", Func: "echo", Delay: time.Millisecond, Retries: 2,
	Params: []wire.Param{{Name: "v", Sig: "json"}},
}, (*echoArgs).fields)

func echoCall(v string, opts ...runtime.Option) runtime.Call[json.RawMessage] {
	a := echoArgs{json.RawMessage(v)}
	return echoTask.Call(a.fields, opts)
}

// newApp returns an app on an engine of its own, with the echo task.
func newApp(t *testing.T, cfg runtime.Config, ecfg postgres.Config) (*runtime.App, *pgxpool.Pool, string) {
	t.Helper()
	return newAppAt(t, servertest.Postgres(t), cfg, ecfg)
}

// newAppAt is newApp on a given server.
func newAppAt(t *testing.T, url string, cfg runtime.Config, ecfg postgres.Config) (*runtime.App, *pgxpool.Pool, string) {
	t.Helper()
	if ecfg.Schema == "" {
		ecfg.Schema = newSchema(t, url)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if cfg.Logger == nil {
		cfg.Logger = testLog(t)
	}
	app := runtime.New(open(t, url, ecfg), cfg)
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	glue.Register(app, echoTask, func(_ context.Context, a *echoArgs) (json.RawMessage, error) { return a.v, nil })
	return app, pool, ecfg.Schema
}

func start(t *testing.T, app *runtime.App) {
	t.Helper()
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestTx: what is enqueued in a transaction is there when it commits, and never
// otherwise; by pgx and by database/sql.
//
// Proves: FEATURES 76
func TestTx(t *testing.T) {
	app, pool, _ := newApp(t, runtime.Config{}, postgres.Config{})
	glue.Register(app, process.Step, func(_ *runtime.Context, a *process.StepArgs) (int, error) { return a.N, nil })
	start(t, app)
	db, err := sql.Open("pgx", pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	type tx struct {
		q                runtime.Enqueuer
		commit, rollback func() error
	}
	for name, begin := range map[string]func() tx{
		"pgx": func() tx {
			x, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return tx{app.In(x), func() error { return x.Commit(t.Context()) }, func() error { return x.Rollback(t.Context()) }}
		},
		"database/sql": func() tx {
			x, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return tx{app.In(x), x.Commit, x.Rollback}
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := begin()
			h, err := echoCall(`1`, runtime.WithKey(name, time.Hour), runtime.WithTag("a", "b")).Enqueue(t.Context(), x.q)
			if err != nil {
				t.Fatal(err)
			}
			var b runtime.Batch
			runtime.AddTo(&b, echoCall(`2`))
			runtime.AddTo(&b, echoCall(`3`, runtime.WithDelay(time.Hour)))
			if err := b.Enqueue(t.Context(), x.q); err != nil {
				t.Fatal(err)
			}
			if _, err := app.Lookup(t.Context(), h.ID()); !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("before the commit the task is seen from outside: %v", err)
			}
			if err := x.rollback(); err != nil {
				t.Fatal(err)
			}
			if all, _, err := app.List(t.Context(), engine.Query{}); err != nil || len(all) != 0 {
				t.Errorf("after the rollback there are %d tasks, %v", len(all), err)
			}
			x = begin() // the key is free again
			if h, err = echoCall(`"committed"`, runtime.WithKey(name, time.Hour)).Enqueue(t.Context(), x.q); err != nil {
				t.Fatal(err)
			}
			var both runtime.Batch
			one, two := runtime.AddTo(&both, echoCall(`4`)), runtime.AddTo(&both, process.StepCall(5, 0))
			if err := both.Enqueue(t.Context(), x.q); err != nil {
				t.Fatal(err)
			}
			if err := x.commit(); err != nil {
				t.Fatal(err)
			}
			if v, err := one.Wait(t.Context()); err != nil || string(v) != `4` {
				t.Errorf("the first of a batch returned %s, %v", v, err)
			}
			if n, err := two.Wait(t.Context()); err != nil || n != 5 {
				t.Errorf("the second of a batch, of another type, returned %d, %v", n, err)
			}
			if v, err := h.Wait(t.Context()); err != nil || string(v) != `"committed"` {
				t.Errorf("Wait returned %s, %v", v, err)
			}
			for _, id := range []uuid.UUID{h.ID(), one.ID(), two.ID()} {
				if err := app.Delete(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestTx_OfAnotherEngine: it says so, and does not panic.
func TestTx_OfAnotherEngine(t *testing.T) {
	app := runtime.New(nil, runtime.Config{})
	if _, err := echoCall(`1`).Enqueue(t.Context(), app.In(nil)); err == nil {
		t.Error("a transaction was accepted for an app on another engine")
	}
}

// TestInsert_ExactValues: what jsonb would change comes back as it was, and what it
// refuses is refused when enqueueing.
func TestInsert_ExactValues(t *testing.T) {
	app, _, _ := newApp(t, runtime.Config{}, postgres.Config{})
	start(t, app)
	for _, v := range []string{`-0`, `[-0.0,1]`, `{"a":"-0"}`, `"2024-01-02"`, `1e-7`, `"\ud83d\ude00"`, `18446744073709551615`} {
		h, err := echoCall(v).Enqueue(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var g, w any
		if json.Unmarshal(got, &g) != nil || json.Unmarshal([]byte(v), &w) != nil {
			t.Fatalf("%s came back as %s", v, got)
		}
		if gf, ok := g.(float64); ok && math.Signbit(gf) != math.Signbit(w.(float64)) {
			t.Errorf("%s came back as %s", v, got)
		}
		gj, _ := json.Marshal(g)
		wj, _ := json.Marshal(w)
		if string(gj) != string(wj) {
			t.Errorf("%s came back as %s", v, got)
		}
	}
	if _, err := echoCall(`"a\u0000b"`).Enqueue(t.Context(), app); err == nil {
		t.Error("a NUL character was enqueued")
	}
	all, _, err := app.List(t.Context(), engine.Query{States: []engine.State{engine.StatePending, engine.StateFailed}})
	if err != nil || len(all) != 0 {
		t.Errorf("%d tasks are there that should not be, %v", len(all), err)
	}
}

// TestServe_UnstorableResult: a result that the server refuses fails its own task, and
// no other that ended at the same time.
func TestServe_UnstorableResult(t *testing.T) {
	url := servertest.Postgres(t)
	e := open(t, url, postgres.Config{Schema: newSchema(t, url)})
	ms := make([]*engine.Message, 20)
	for i := range ms {
		ms[i] = benchMessage()
	}
	ins, err := e.Insert(t.Context(), ms)
	if err != nil {
		t.Fatal(err)
	}
	bad := ins[7].ID
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "w", Slots: 20, Queues: []string{"default"}, Names: []string{"bench.charge"}, ParkFor: time.Hour, Now: time.Now,
			Run: func(_ context.Context, d *engine.Delivery) engine.Outcome {
				o := engine.Outcome{Kind: engine.OutcomeSucceed, Result: d.Message.Args}
				if d.Message.Meta.ID == bad {
					o.Result = json.RawMessage(`{"x":1e400000}`)
				}
				return o
			},
		})
	}()
	for _, in := range ins {
		want := engine.StateSucceeded
		if in.ID == bad {
			want = engine.StateFailed
		}
		en, err := e.Wait(t.Context(), in.ID)
		if err != nil || en.State != want || (in.ID == bad) == (en.Reason == "") {
			t.Errorf("a task ended as %+v, %v, want %s", en, err, want)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestServe_OneBadTask: one bad task of each kind among 1,000 is parked or refused,
// with its reason, and holds up no other.
//
// Proves: RELIABILITY 9
func TestServe_OneBadTask(t *testing.T) {
	app, pool, schema := newApp(t, runtime.Config{Workers: 20, ParkFor: time.Hour}, postgres.Config{PollInterval: 100 * time.Millisecond})
	var b runtime.Batch
	var hs []*runtime.Handle[json.RawMessage]
	for range 999 {
		hs = append(hs, runtime.AddTo(&b, echoCall(`"x"`)))
	}
	bad := map[string]string{
		"args that are no object":    `('app.echo', '[1]', '{"taskctx": {"v": 1, "sig": "v:json", "retries": 3}}')`,
		"args of another type":       `('app.echo', '{"w": true}', '{"taskctx": {"v": 1, "sig": "w:bool", "retries": 3}}')`,
		"a future version":           `('app.echo', '{"v": 1}', '{"taskctx": {"v": 99, "retries": 3}}')`,
		"an unknown name":            `('app.unknown', '{}', '{"taskctx": {"v": 1, "retries": 3}}')`,
		"metadata of another type":   `('app.echo', '{"w": 1}', '{"taskctx": [1]}')`,
		"metadata that is no object": `('app.echo', '{"w": 1}', '[1]')`,
	}
	for what, row := range bad {
		if _, err := pool.Exec(t.Context(), "INSERT INTO "+schema+".river_job (kind, args, metadata) VALUES "+row); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err := b.Enqueue(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	start(t, app)
	for _, h := range hs {
		if _, err := h.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		all, _, err := app.List(t.Context(), engine.Query{States: []engine.State{engine.StatePending, engine.StateRetrying, engine.StateFailed}})
		if err != nil {
			t.Fatal(err)
		}
		reasons := 0
		for _, r := range all {
			if r.Reason != "" {
				reasons++
			}
		}
		if len(all) == len(bad) && reasons == len(bad) {
			for _, r := range all {
				t.Logf("%s is %s: %s", r.Name, r.State, r.Reason)
				if r.State == engine.StateFailed {
					t.Errorf("%s failed at once: %s", r.Name, r.Reason)
				}
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("of %d bad tasks %d are kept, %d with a reason", len(bad), len(all), reasons)
		}
	}
}

// TestServe_ParkedTasksAreOutOfTheWay: many tasks that nobody knows do not slow down the
// others, and a worker that knows them takes them at once.
func TestServe_ParkedTasksAreOutOfTheWay(t *testing.T) {
	app, pool, schema := newApp(t, runtime.Config{ParkFor: 400 * time.Millisecond}, postgres.Config{PollInterval: 50 * time.Millisecond})
	other := runtime.New(app.Engine(), runtime.Config{Logger: testLog(t)})
	hs := make([]*runtime.Handle[int], 50)
	for i := range hs {
		var err error
		if hs[i], err = process.StepCall(i, 0).Enqueue(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	start(t, app) // it does not know the step
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var n int
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".river_job WHERE state = 'available'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d tasks that nobody knows stay at the head of the queue", n)
		}
	}
	r, err := other.Lookup(t.Context(), hs[0].ID())
	if err != nil || r.Reason == "" {
		t.Errorf("a parked task has no reason: %+v, %v", r, err)
	}
	for _, h := range hs {
		if _, err := h.Wait(t.Context()); err == nil {
			t.Error("a task that nobody knows succeeded")
		}
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStop_UnderLoad: tasks that ignore their context. Stop returns in time and
// names them, and nothing is lost.
//
// Proves: RELIABILITY 6
func TestStop_UnderLoad(t *testing.T) {
	const n, workers = 200, 8
	// Four graces are what a machine that is busy has for giving them back.
	cfg := runtime.Config{Workers: workers, ShutdownTimeout: 50 * time.Millisecond, ShutdownGrace: 2 * time.Second}
	app, pool, schema := newApp(t, cfg, postgres.Config{})
	release := make(chan struct{})
	var stuck, running, most atomic.Int64
	glue.Register(app, echoTask, func(_ context.Context, a *echoArgs) (json.RawMessage, error) {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer running.Add(-1)
		if stuck.Add(1) <= workers {
			<-release
		}
		return a.v, nil
	})
	for range n {
		if _, err := echoCall(`1`).Enqueue(t.Context(), app); err != nil {
			t.Fatal(err)
		}
	}
	start(t, app)
	for stuck.Load() < workers {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	err := app.Stop(context.Background())
	var u *engine.UnfinishedError
	if !errors.As(err, &u) || len(u.Tasks) != workers {
		t.Errorf("Stop returned %v, want the names of %d tasks", err, workers)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Stop took %v", took)
	}
	var waiting int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".river_job WHERE state = 'available' AND attempt = 0").Scan(&waiting); err != nil || waiting != n {
		t.Errorf("%d of %d tasks wait as if they had not run, %v", waiting, n, err)
	}
	close(release)
	start(t, app)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var done int
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".river_job WHERE state = 'completed' AND attempt = 1").Scan(&done); err != nil {
			t.Fatal(err)
		}
		if done == n {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d tasks are done", done, n)
		}
	}
	if most.Load() > 2*workers { // those of the first start may still run
		t.Errorf("%d tasks ran at a time with %d workers", most.Load(), workers)
	}
}
