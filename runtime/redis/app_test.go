package redis_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/redis"
)

// newApp returns an app with the task on an engine of its own.
func newApp(
	t *testing.T, url string, cfg runtime.Config, task *glue.Task[sumArgs, int],
	run func(*runtime.Context, *sumArgs) (int, error),
) *runtime.App {
	t.Helper()
	cfg.Logger = testLog(t)
	app := runtime.New(open(t, url, redis.Config{}), cfg)
	glue.Register(app, task, run)
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return app
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// spoil stores a task, and then changes what the server holds of it.
func spoil(t *testing.T, app *runtime.App, db *goredis.Client, call runtime.Call[int], change func(msg string) string) {
	t.Helper()
	h, err := call.Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	key := "asynq:{" + engine.DefaultQueue + "}:t:" + h.ID().String()
	msg, err := db.HGet(t.Context(), key, "msg").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.HSet(t.Context(), key, "msg", change(msg)).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestServe_OneBadTask: one bad task of each kind among 1,000 is parked or fails, with
// its reason, and holds up no other.
//
// Proves: RELIABILITY 9
func TestServe_OneBadTask(t *testing.T) {
	slow(t)
	url := server(t)
	db, err := client(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	task := sumTask("")
	app := newApp(t, url, runtime.Config{Workers: 20, ParkFor: time.Hour}, task,
		func(_ *runtime.Context, x *sumArgs) (int, error) { return x.a + x.b, nil })
	var b runtime.Batch
	var hs []*runtime.Handle[int]
	for i := range 999 {
		hs = append(hs, runtime.AddTo(&b, sumCall(task, i, 1)))
	}
	replace := func(from, to string) func(string) string {
		return func(msg string) string {
			if len(from) != len(to) || !strings.Contains(msg, from) {
				t.Fatalf("cannot put %q for %q into %q", to, from, msg)
			}
			return strings.Replace(msg, from, to, 1)
		}
	}
	bad := []func(string) string{
		replace(`{"a":7,"b":7}`, `["a",7,"b",7]`), // arguments that are no object
		replace(`{"a":7,"b":7}`, `{"a":7,"b":"x`), // and no JSON
		replace(`{"a":7,"b":7}`, "{\"a\":\x00\xff\"b\":7}"),
		replace(`{"v":1,`, `{"v":9,`),   // a version of the future
		replace(`{"v":1,`, `["v":1,`),   // metadata that cannot be read
		replace(`shop.Sum`, `shop.Mus`), // a name of the future
		func(string) string { return "\xff\xff no protocol buffer" },
		func(string) string { return "" },
	}
	for _, change := range bad {
		spoil(t, app, db, sumCall(task, 7, 7), change)
	}
	if err := b.Enqueue(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, h := range hs {
		if sum, err := h.Wait(t.Context()); err != nil || sum != i+1 {
			t.Fatalf("Wait returned %d, %v", sum, err)
		}
	}
	var all []*runtime.Record
	eventually(t, "each bad task has a reason", func() bool {
		all, _, err = app.List(t.Context(), engine.Query{
			States: []engine.State{engine.StatePending, engine.StateRetrying, engine.StateFailed},
		})
		if err != nil {
			t.Fatal(err)
		}
		reasons := 0
		for _, r := range all {
			if r.Reason != "" {
				reasons++
			}
		}
		return reasons >= len(bad)-1 // metadata that cannot be read: a foreign task, which runs
	})
	for _, r := range all {
		t.Logf("%s is %s: %s", r.Name, r.State, r.Reason)
		if r.State == engine.StateFailed && r.Name != "unreadable" {
			t.Errorf("%s failed at once: %s", r.Name, r.Reason)
		}
	}
}

// TestStop_UnderLoad: tasks that ignore their context. Stop returns in time and
// names them, and nothing is lost.
//
// Proves: RELIABILITY 6
func TestStop_UnderLoad(t *testing.T) {
	url := server(t)
	const n, workers = 200, 8
	task := sumTask("")
	release := make(chan struct{})
	var began, running, most, runs atomic.Int64
	app := newApp(t, url, runtime.Config{ // a busy machine has four graces for giving them back
		Workers: workers, ShutdownTimeout: 50 * time.Millisecond, ShutdownGrace: 2 * time.Second,
	}, task, func(_ *runtime.Context, x *sumArgs) (int, error) {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer running.Add(-1)
		runs.Add(1)
		if began.Add(1) <= workers {
			<-release
		}
		return x.a, nil
	})
	hs := make([]*runtime.Handle[int], n)
	for i := range hs {
		var err error
		if hs[i], err = sumCall(task, i, 0).Enqueue(t.Context(), app); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all slots are taken", func() bool { return began.Load() >= workers })
	at := time.Now()
	err := app.Stop(context.Background())
	var u *engine.UnfinishedError
	if !errors.As(err, &u) || len(u.Tasks) != workers {
		t.Errorf("Stop returned %v, want the names of %d tasks", err, workers)
	}
	if took := time.Since(at); took > 10*time.Second {
		t.Errorf("Stop took %v", took)
	}
	waiting, _, err := app.List(t.Context(), engine.Query{States: []engine.State{engine.StatePending}, Limit: n + 1})
	if err != nil || len(waiting) != n {
		t.Errorf("%d of %d tasks wait, %v", len(waiting), n, err)
	}
	for _, r := range waiting {
		if r.Attempt != 0 {
			t.Errorf("a task that was given back has used %d attempts", r.Attempt)
		}
	}
	close(release)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, h := range hs {
		if got, err := h.Wait(t.Context()); err != nil || got != i {
			t.Errorf("task %d returned %d, %v", i, got, err)
		}
	}
	if runs.Load() != n+workers {
		t.Errorf("%d runs, want %d and %d that were given back", runs.Load(), n, workers)
	}
	if most.Load() > 2*workers { // those of the first start may still run
		t.Errorf("%d tasks ran at a time with %d workers", most.Load(), workers)
	}
}

// TestEngine_ForgetfulServer: a server that comes back without its data, scripts and
// counts, as after FLUSHALL, is worked with as it is: what runs is told that its
// task is no longer its own, and new tasks run.
func TestEngine_ForgetfulServer(t *testing.T) {
	url := server(t)
	db, err := client(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	task := sumTask("")
	lost := make(chan error, 1)
	e := open(t, url, redis.Config{Lease: 300 * time.Millisecond})
	app := runtime.New(e, runtime.Config{Workers: 2, Logger: testLog(t)})
	glue.Register(app, task, func(ctx *runtime.Context, x *sumArgs) (int, error) {
		if x.a == 1 {
			<-ctx.Done()
			lost <- context.Cause(ctx)
			return 0, context.Cause(ctx)
		}
		return x.a, nil
	})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	h, err := sumCall(task, 1, 0).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task runs", func() bool {
		r, err := h.Record(t.Context())
		return err == nil && r.State == engine.StateRunning
	})
	if err := errors.Join(db.FlushDB(t.Context()).Err(), db.ScriptFlush(t.Context()).Err()); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !errors.Is(err, engine.ErrLeaseLost) {
		t.Errorf("the run ended by %v, want ErrLeaseLost", err)
	}
	again, err := sumCall(task, 2, 0).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Wait(t.Context()); err != nil || got != 2 {
		t.Errorf("a task after it returned %d, %v", got, err)
	}
}

// TestGet_ForeignIDs: ids that asynq clients chose, the same in two queues, are each
// listed once, page by page.
func TestGet_ForeignIDs(t *testing.T) {
	url := server(t)
	e := open(t, url, redis.Config{})
	queues := []string{newQueue(), newQueue() + "/%", newQueue()}
	want := 0
	for _, q := range queues {
		for _, id := range []string{"daily", "hourly", "a/b"} {
			enqueueForeign(t, url, q, id)
			want++
		}
	}
	seen := make(map[string]int)
	for cursor, page := "", 0; ; page++ {
		es, next, err := e.List(t.Context(), engine.Query{Limit: 1, Cursor: cursor})
		if err != nil || page > want {
			t.Fatalf("page %d: %v", page, err)
		}
		for _, en := range es {
			seen[en.Message.Queue+" "+en.ID.String()]++
		}
		if cursor = next; next == "" {
			break
		}
	}
	if len(seen) != want {
		t.Errorf("%d tasks were listed, want %d", len(seen), want)
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%s was listed %d times", what, n)
		}
	}
	if _, _, err := e.List(t.Context(), engine.Query{Cursor: "after:x"}); err == nil {
		t.Error("what is no cursor was taken for one")
	}
}

// TestInsert_OneIDTwice: an id that is taken, in the same batch too, is an error, and
// nothing is stored.
func TestInsert_OneIDTwice(t *testing.T) {
	url := server(t)
	e := open(t, url, redis.Config{})
	message := func(id uuid.UUID, args string) *engine.Message {
		return &engine.Message{
			Name: "shop.Sum", Queue: "default", Args: []byte(args), Keep: time.Hour,
			Meta: engine.Meta{Version: engine.WirePlain, ID: id, EnqueuedAt: time.Now()},
		}
	}
	id, other := uuid.New(), uuid.New()
	if _, err := e.Insert(t.Context(), []*engine.Message{message(id, `{"n":1}`), message(id, `{"n":2}`)}); err == nil {
		t.Error("a batch with one id twice was stored")
	}
	if _, err := e.Insert(t.Context(), []*engine.Message{message(id, `{"n":3}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Insert(t.Context(), []*engine.Message{message(other, `{"n":4}`), message(id, `{"n":5}`)}); err == nil {
		t.Error("an id that was taken was stored again")
	}
	es, _, err := e.List(t.Context(), engine.Query{})
	if err != nil || len(es) != 1 || string(es[0].Message.Args) != `{"n":3}` {
		t.Errorf("%d tasks are stored, %v", len(es), err)
	}
}

// TestCheck_KeptTooLong: what asynq's archive would forget too early is refused, by
// Start where the App asks for it, and by Enqueue.
func TestCheck_KeptTooLong(t *testing.T) {
	const most = 90 * 24 * time.Hour
	url, task := server(t), sumTask("")
	run := func(_ *runtime.Context, x *sumArgs) (int, error) { return x.a + x.b, nil }
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "WithKeepFailed") ||
			!strings.Contains(err.Error(), "Config.KeepFailed") || !strings.Contains(err.Error(), most.String()) {
			t.Errorf("%s: %v, want one that wraps %q, and names the options and the limit", what, err, engine.ErrUnsupported)
		}
	}
	app := newApp(t, url, runtime.Config{KeepFailed: most + time.Hour}, task, run)
	refused("Start", app.Start(t.Context()))
	_, err := sumCall(task, 1, 2).Enqueue(t.Context(), app)
	refused("Enqueue", err)
	if _, err := sumCall(task, 1, 2, runtime.WithKeepFailed(most), runtime.WithKeep(2*most)).Enqueue(t.Context(), app); err != nil {
		t.Errorf("Enqueue at the limit: %v", err)
	}
	app = newApp(t, url, runtime.Config{KeepFailed: most, Keep: 2 * most}, task, run)
	if err := app.Start(t.Context()); err != nil {
		t.Errorf("Start at the limit: %v", err)
	}
	_, err = sumCall(task, 1, 2, runtime.WithKeepFailed(most+time.Hour)).Enqueue(t.Context(), app)
	refused("Enqueue with an option", err)
}
