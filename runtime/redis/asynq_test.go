package redis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/redis"
	"github.com/taskctx/taskctx/runtime/wire"
)

type sumArgs struct{ a, b int }

func (x *sumArgs) fields(f *wire.Fields) {
	f.Int("a", &x.a)
	f.Int("b", &x.b)
}

// sumTask describes a task in a queue of the test's own.
func sumTask(queue string) *glue.Task[sumArgs, int] {
	return glue.NewTask[sumArgs, int](wire.Spec{
		Name: "shop.Sum", Func: "Sum", Queue: queue, Retries: 2, Delay: time.Hour,
		Params: []wire.Param{{Name: "a", Sig: "int"}, {Name: "b", Sig: "int"}},
	}, (*sumArgs).fields)
}

// newQueue returns the name of a queue that no other test uses.
func newQueue() string { return "q-" + uuid.NewString() }

// sumApp starts an app with the task. A negative sum fails, and one of 100
// waits for release.
func sumApp(t *testing.T, url, queue string, release <-chan struct{}) (*runtime.App, *glue.Task[sumArgs, int]) {
	t.Helper()
	app := runtime.New(open(t, url, redis.Config{}), runtime.Config{Workers: 2, Logger: testLog(t)})
	task := sumTask(queue)
	glue.Register(app, task, func(_ context.Context, x *sumArgs) (int, error) {
		switch sum := x.a + x.b; {
		case sum < 0:
			return 0, fmt.Errorf("%d is negative", sum)
		case sum == 100:
			<-release
			return sum, nil
		default:
			return sum, nil
		}
	})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return app, task
}

func sumCall(task *glue.Task[sumArgs, int], a, b int, opts ...runtime.Option) runtime.Call[int] {
	args := sumArgs{a, b}
	return task.Call(args.fields, opts)
}

func asynqOpt(t *testing.T, url string) asynq.RedisConnOpt {
	t.Helper()
	opt, err := asynq.ParseRedisURI(url)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

// TestAsynq_InspectorSeesTasks: asynq's Inspector, on which its tools are built, shows
// a task of ours in each state, as one of asynq's own.
func TestAsynq_InspectorSeesTasks(t *testing.T) {
	url, _ := servertest.Redis(t)
	queue := newQueue()
	release := make(chan struct{})
	app, task := sumApp(t, url, queue, release)
	ins := asynq.NewInspector(asynqOpt(t, url))
	t.Cleanup(func() { _ = ins.Close() })
	ctx := t.Context()

	until := func(id uuid.UUID, want asynq.TaskState) *asynq.TaskInfo {
		t.Helper()
		for {
			info, err := ins.GetTaskInfo(queue, id.String())
			if err != nil {
				t.Fatalf("Inspector: %v", err)
			}
			if info.State == want {
				return info
			}
			select {
			case <-ctx.Done():
				t.Fatalf("the Inspector shows %s, want %s", info.State, want)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	enqueue := func(a, b int, opts ...runtime.Option) *runtime.Handle[int] {
		t.Helper()
		h, err := sumCall(task, a, b, opts...).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}

	done := enqueue(1, 2)
	if sum, err := done.Wait(ctx); err != nil || sum != 3 {
		t.Fatalf("Wait returned %d, %v", sum, err)
	}
	info := until(done.ID(), asynq.TaskStateCompleted)
	if info.Type != "shop.Sum" || string(info.Payload) != `{"a":1,"b":2}` || string(info.Result) != "3" {
		t.Errorf("the Inspector shows type %q, payload %s, result %s", info.Type, info.Payload, info.Result)
	}
	if info.Retention != time.Hour || info.MaxRetry != 2 || info.CompletedAt.IsZero() {
		t.Errorf("the Inspector shows retention %s, %d retries, completed at %s",
			info.Retention, info.MaxRetry, info.CompletedAt)
	}

	info = until(enqueue(-1, 0).ID(), asynq.TaskStateRetry)
	if info.Retried != 1 || info.LastErr != "-1 is negative" || time.Until(info.NextProcessAt) < 50*time.Minute {
		t.Errorf("the Inspector shows %d retries, error %q, next at %s", info.Retried, info.LastErr, info.NextProcessAt)
	}
	info = until(enqueue(-2, 0, runtime.WithRetries(0)).ID(), asynq.TaskStateArchived)
	if info.LastErr != "-2 is negative" {
		t.Errorf("the Inspector shows error %q", info.LastErr)
	}
	until(enqueue(1, 1, runtime.WithDelay(time.Hour)).ID(), asynq.TaskStateScheduled)
	running := enqueue(50, 50)
	until(running.ID(), asynq.TaskStateActive)
	close(release)
	until(running.ID(), asynq.TaskStateCompleted)

	stats, err := ins.GetQueueInfo(queue)
	if err != nil {
		t.Fatal(err)
	}
	if stats.Completed != 2 || stats.Archived != 1 || stats.Retry != 1 || stats.Scheduled != 1 {
		t.Errorf("the Inspector counts %+v", stats)
	}
}

// TestAsynq_InspectorCommands: what asynq's tools do to a task has its effect here.
func TestAsynq_InspectorCommands(t *testing.T) {
	url, _ := servertest.Redis(t)
	queue := newQueue()
	app, task := sumApp(t, url, queue, nil)
	ins := asynq.NewInspector(asynqOpt(t, url))
	t.Cleanup(func() { _ = ins.Close() })
	enqueue := func(a int, opts ...runtime.Option) *runtime.Handle[int] {
		t.Helper()
		h, err := sumCall(task, a, 0, opts...).Enqueue(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	state := func(h *runtime.Handle[int], want engine.State) *runtime.Record {
		t.Helper()
		for {
			r, err := h.Record(t.Context())
			if err != nil {
				t.Fatalf("a task that is to be %s: %v", want, err)
			}
			if r.State == want {
				return r
			}
			time.Sleep(time.Millisecond)
		}
	}

	later := enqueue(1, runtime.WithDelay(time.Hour))
	if err := ins.RunTask(queue, later.ID().String()); err != nil {
		t.Fatal(err)
	}
	if sum, err := later.Wait(t.Context()); err != nil || sum != 1 {
		t.Errorf("a task that the Inspector let run early returned %d, %v", sum, err)
	}

	dropped := enqueue(2, runtime.WithDelay(time.Hour))
	if err := ins.DeleteTask(queue, dropped.ID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := dropped.Record(t.Context()); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("the record of a task that the Inspector deleted: %v", err)
	}

	retrying := enqueue(-1)
	state(retrying, engine.StateRetrying)
	if err := ins.ArchiveTask(queue, retrying.ID().String()); err != nil {
		t.Fatal(err)
	}
	state(retrying, engine.StateFailed)
	if err := ins.RunTask(queue, retrying.ID().String()); err != nil {
		t.Fatal(err)
	}
	if r := state(retrying, engine.StateRetrying); r.Attempt != 1 && r.Attempt != 2 {
		t.Errorf("after the Inspector's run the task is at attempt %d", r.Attempt)
	}

	cancelled := enqueue(3, runtime.WithDelay(time.Hour))
	if err := app.Cancel(t.Context(), cancelled.ID(), "not wanted"); err != nil {
		t.Fatal(err)
	}
	info, err := ins.GetTaskInfo(queue, cancelled.ID().String())
	if err != nil || info.State != asynq.TaskStateArchived {
		t.Errorf("the Inspector shows a cancelled task as %+v, %v; want archived", info, err)
	}
}

// TestAsynq_ServerBeside: a server of asynq's works its own queue of the same
// database, with all of its upkeep, and neither touches the other's tasks, one of
// ours that runs meanwhile too.
func TestAsynq_ServerBeside(t *testing.T) {
	url, _ := servertest.Redis(t)
	ours, theirs := newQueue(), newQueue()
	release := make(chan struct{})
	app, task := sumApp(t, url, ours, release)
	long, err := sumCall(task, 50, 50).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan string, 100)
	s := asynq.NewServer(asynqOpt(t, url), asynq.Config{
		Concurrency: 2, Queues: map[string]int{theirs: 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 10 * time.Millisecond, DelayedTaskCheckInterval: 10 * time.Millisecond,
	})
	if err := s.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		ran <- t.Type()
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	client := asynq.NewClient(asynqOpt(t, url))
	t.Cleanup(func() { _ = client.Close() })

	for range 20 {
		if _, err := client.EnqueueContext(t.Context(), asynq.NewTask("mail.Send", nil), asynq.Queue(theirs)); err != nil {
			t.Fatal(err)
		}
		h, err := sumCall(task, 20, 22).Enqueue(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		if sum, err := h.Wait(t.Context()); err != nil || sum != 42 {
			t.Errorf("Wait returned %d, %v", sum, err)
		}
		if kind := <-ran; kind != "mail.Send" {
			t.Errorf("asynq's server ran %q", kind)
		}
	}
	close(release)
	if sum, err := long.Wait(t.Context()); err != nil || sum != 100 {
		t.Errorf("the long task returned %d, %v", sum, err)
	}
	if r, err := long.Record(t.Context()); err != nil || r.Attempt != 0 {
		t.Errorf("the long task is at attempt %d, %v; it should have run once", r.Attempt, err)
	}
}

// TestAsynq_Client: a task of a program that knows only asynq runs here, also with
// a key that we do not know.
func TestAsynq_Client(t *testing.T) {
	url, _ := servertest.Redis(t)
	queue := newQueue()
	app, _ := sumApp(t, url, queue, nil)
	client := asynq.NewClient(asynqOpt(t, url))
	t.Cleanup(func() { _ = client.Close() })
	payload, err := json.Marshal(map[string]int{"b": 2, "trace": 7, "a": 40})
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range [][]asynq.Option{{}, {asynq.ProcessIn(time.Second)}} {
		info, err := client.EnqueueContext(t.Context(), asynq.NewTask("shop.Sum", payload), append(opts, asynq.Queue(queue))...)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := runtime.HandleOf[int](app, uuid.MustParse(info.ID)).Wait(t.Context())
		if err != nil || sum != 42 {
			t.Errorf("the task of asynq's client returned %d, %v", sum, err)
		}
	}
}

// TestAsynq_HeadersOfOthers: the headers of a program of asynq are told beside its task,
// and ours is not.
func TestAsynq_HeadersOfOthers(t *testing.T) {
	url, _ := servertest.Redis(t)
	queue := newQueue()
	e := open(t, url, redis.Config{})
	client := asynq.NewClient(asynqOpt(t, url))
	t.Cleanup(func() { _ = client.Close() })
	theirs, err := client.EnqueueContext(t.Context(), asynq.NewTaskWithHeaders("mail.Send", []byte(`{}`), map[string]string{"trace": "t-1"}), asynq.Queue(queue))
	require.NoError(t, err)
	got, err := e.Get(t.Context(), uuid.MustParse(theirs.ID))
	require.NoError(t, err)
	assert.JSONEq(t, `{"trace": "t-1"}`, string(got.Beside()))

	app := runtime.New(e, runtime.Config{Logger: testLog(t)})
	ours, err := sumTask(queue).Call((&sumArgs{1, 2}).fields, nil).Enqueue(t.Context(), app)
	require.NoError(t, err)
	got, err = e.Get(t.Context(), ours.ID())
	require.NoError(t, err)
	assert.Nil(t, got.Beside())
}

// TestAsynq_InlinePayload: the payload of a program of asynq is a struct, whose fields
// a task with inline= takes; what is enqueued here has the same form.
//
// Proves: FEATURES 114
func TestAsynq_InlinePayload(t *testing.T) {
	type delivery struct {
		UserID   int    `json:"user_id"`
		Template string `json:"template"`
	}
	type deliverArgs struct{ d delivery }
	url, _ := servertest.Redis(t)
	queue := newQueue()
	task := glue.NewTask[deliverArgs, int](wire.Spec{ // what taskgen makes of inline=d
		Name: "email:deliver", Func: "Deliver", Queue: queue, Params: []wire.Param{{Name: "d", Sig: "delivery:1", Inline: true}},
	}, func(a *deliverArgs, f *wire.Fields) { f.Inline("d", &a.d) })
	app := runtime.New(open(t, url, redis.Config{}), runtime.Config{Workers: 2, Logger: testLog(t)})
	glue.Register(app, task, func(_ *runtime.Context, a *deliverArgs) (int, error) {
		return a.d.UserID + len(a.d.Template), nil
	})
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
	client := asynq.NewClient(asynqOpt(t, url))
	t.Cleanup(func() { _ = client.Close() })
	payload, err := json.Marshal(delivery{40, "hi"})
	require.NoError(t, err)
	info, err := client.EnqueueContext(t.Context(), asynq.NewTask("email:deliver", payload), asynq.Queue(queue))
	require.NoError(t, err)
	theirs := runtime.HandleOf[int](app, uuid.MustParse(info.ID))
	x := deliverArgs{delivery{40, "hi"}}
	ours, err := task.Call(func(f *wire.Fields) { f.Inline("d", &x.d) }, nil).
		Enqueue(t.Context(), app)
	require.NoError(t, err)
	for _, h := range []*runtime.Handle[int]{theirs, ours} {
		v, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 42, v)
		r, err := h.Record(t.Context())
		require.NoError(t, err)
		assert.JSONEq(t, string(payload), string(r.Args))
	}
}

// TestAsynq_PausedQueue: a queue that asynq's tools have paused is not served until
// they let it go on.
//
// Proves: FEATURES 100
func TestAsynq_PausedQueue(t *testing.T) {
	url, _ := servertest.Redis(t)
	queue := newQueue()
	app, task := sumApp(t, url, queue, nil)
	ins := asynq.NewInspector(asynqOpt(t, url))
	t.Cleanup(func() { _ = ins.Close() })
	if err := ins.PauseQueue(queue); err != nil {
		t.Fatal(err)
	}
	h, err := sumCall(task, 1, 2).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	// A task of another queue of the same worker, enqueued later, overtakes it.
	other, err := sumCall(task, 3, 4, runtime.WithQueue(engine.DefaultQueue)).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := h.Record(t.Context()); err != nil || r.State != engine.StatePending {
		t.Fatalf("in a paused queue the task is %v, %v", r, err)
	}
	if err := ins.UnpauseQueue(queue); err != nil {
		t.Fatal(err)
	}
	if sum, err := h.Wait(t.Context()); err != nil || sum != 3 {
		t.Errorf("Wait returned %d, %v", sum, err)
	}
}

// enqueueForeign enqueues a task as a program does that knows only asynq, with
// an id of its choice.
func enqueueForeign(t *testing.T, url, queue, id string) {
	t.Helper()
	client := asynq.NewClient(asynqOpt(t, url))
	defer client.Close()
	task := asynq.NewTask("shop.Sum", []byte(`{"a":1,"b":2}`))
	if _, err := client.EnqueueContext(t.Context(), task, asynq.Queue(queue), asynq.TaskID(id)); err != nil {
		t.Fatal(err)
	}
}

// TestPause_AgreesWithAsynq: a pause of ours is asynq's, and the other way round.
//
// Proves: FEATURES 100
func TestPause_AgreesWithAsynq(t *testing.T) {
	url, _ := servertest.Redis(t)
	queue := newQueue()
	app, task := sumApp(t, url, queue, nil)
	ins := asynq.NewInspector(asynqOpt(t, url))
	t.Cleanup(func() { _ = ins.Close() })
	paused := func() bool {
		t.Helper()
		ps, err := app.Paused(t.Context())
		require.NoError(t, err)
		return engine.Holds(ps, queue, "")
	}
	require.NoError(t, app.Pause(t.Context(), queue), "a queue without tasks")
	h, err := sumCall(task, 1, 2).Enqueue(t.Context(), app)
	require.NoError(t, err)
	info, err := ins.GetQueueInfo(queue)
	require.NoError(t, err)
	assert.True(t, info.Paused, "asynq's tools show it as paused")
	assert.True(t, paused())
	require.NoError(t, ins.UnpauseQueue(queue))
	assert.False(t, paused())
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, ins.PauseQueue(queue))
	assert.True(t, paused())
	require.NoError(t, app.Resume(t.Context(), queue))
	info, err = ins.GetQueueInfo(queue)
	require.NoError(t, err)
	assert.False(t, info.Paused)
}

// TestAsynq_WholeSeconds: what has ended is in asynq's sets with whole seconds, as
// asynqmon reads them.
func TestAsynq_WholeSeconds(t *testing.T) {
	url := server(t)
	queue := newQueue()
	app, task := sumApp(t, url, queue, nil)
	for _, x := range []sumArgs{{1, 2}, {3, 4}} {
		h, err := task.Call(x.fields, nil).Enqueue(t.Context(), app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err)
		h, err = task.Call(x.fields, []runtime.Option{runtime.WithDelay(time.Hour)}).Enqueue(t.Context(), app)
		require.NoError(t, err)
		require.NoError(t, app.Cancel(t.Context(), h.ID(), "not needed"))
	}
	db, err := client(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, set := range []string{"completed", "archived"} {
		zs, err := db.ZRangeWithScores(t.Context(), "asynq:{"+queue+"}:"+set, 0, -1).Result()
		require.NoError(t, err)
		require.Len(t, zs, 2, set)
		for _, z := range zs {
			assert.Equal(t, math.Trunc(z.Score), z.Score, set)
		}
	}
}
