package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/beside"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// benchArgs are the arguments of a task that River and the engine both know.
type benchArgs beside.Args

func (benchArgs) Kind() string { return beside.Kind }

func benchMessage() *engine.Message {
	args, _ := json.Marshal(beside.Charge)
	return &engine.Message{
		Name: beside.Kind, Queue: engine.DefaultQueue, Args: args, Keep: time.Hour,
		Meta: engine.Meta{
			Version: engine.WirePlain, ID: uuid.New(), EnqueuedAt: time.Now().UTC(),
			Signature: "customer:string cents:int64", Retries: 3,
		},
	}
}

// neighbours are an engine and a River client on one schema, as River's UI, its
// command and a user's own River code have it.
type neighbours struct {
	*testing.T
	e      *postgres.Engine
	client *river.Client[pgx.Tx]
	pool   *pgxpool.Pool
	schema string
}

func newNeighbours(t *testing.T) *neighbours {
	t.Helper()
	url := servertest.Postgres(t)
	b := &neighbours{T: t, schema: newSchema(t, url)}
	var err error
	if b.pool, err = pgxpool.New(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.pool.Close)
	b.e = open(t, url, postgres.Config{Schema: b.schema, Lease: time.Second})
	if b.client, err = river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: b.schema, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	return b
}

// serve runs a worker whose tasks are handled by run.
func (b *neighbours) serve(names []string, run func(ctx context.Context, d *engine.Delivery) engine.Outcome) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	slices.Sort(names)
	w := &engine.Worker{
		ID: uuid.NewString(), Slots: 4, Queues: []string{"default"}, Names: names,
		ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now, Run: run,
	}
	go func() { served <- b.e.Serve(ctx, w) }()
	b.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			b.Errorf("Serve: %v", err)
		}
	})
}

// job returns the River job with the number n: the first is 1.
func (b *neighbours) job(n int64) *rivertype.JobRow {
	b.Helper()
	j, err := b.client.JobGet(b.Context(), n)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// state waits until the job has the state, as River has it.
func (b *neighbours) state(n int64, want rivertype.JobState) *rivertype.JobRow {
	b.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		j := b.job(n)
		if j.State == want {
			return j
		}
		if time.Now().After(end) {
			b.Fatalf("job %d stays %s, want %s", n, j.State, want)
		}
	}
}

// TestRiver_NativeJob: what River's tools show of a task is what it is.
func TestRiver_NativeJob(t *testing.T) {
	b := newNeighbours(t)
	m := benchMessage()
	m.Queue, m.Priority, m.Meta.Tags = "billing", 3, map[string]string{"plan": "pro"}
	in, err := b.e.InsertOne(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	j := b.job(1)
	if j.Kind != "bench.charge" || j.Queue != "billing" || j.Priority != 1 || j.MaxAttempts != 4 || j.State != rivertype.JobStateAvailable {
		t.Errorf("River has kind %s, queue %s, priority %d, max_attempts %d, state %s", j.Kind, j.Queue, j.Priority, j.MaxAttempts, j.State)
	}
	var args benchArgs
	if err := json.Unmarshal(j.EncodedArgs, &args); err != nil || args != (benchArgs{"c-42", 1999}) {
		t.Errorf("River has the arguments %s", j.EncodedArgs)
	}
	if !slices.Equal(j.Tags, []string{"plan:pro"}) {
		t.Errorf("River has the tags %v", j.Tags)
	}
	var meta map[string]json.RawMessage
	if err := json.Unmarshal(j.Metadata, &meta); err != nil || len(meta) != 1 || meta["taskctx"] == nil {
		t.Errorf("River has the metadata %s, want all of ours under one key", j.Metadata)
	}
	if in.ID.Version() != 8 || in.ID.Variant() != uuid.RFC4122 {
		t.Errorf("the id %s has version %d, want 8", in.ID, in.ID.Version())
	}
}

// TestRiver_NativeOutcomes: the state, the errors, the attempts and the output.
func TestRiver_NativeOutcomes(t *testing.T) {
	b := newNeighbours(t)
	again := make(chan struct{})
	b.serve([]string{"ok", "retry", "snooze", "fail", "cancel"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		switch d.Message.Name {
		case "retry":
			return engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "card declined"}
		case "snooze":
			return engine.Outcome{Kind: engine.OutcomeDelay, After: time.Hour}
		case "fail":
			return engine.Outcome{Kind: engine.OutcomeFail, Reason: "no such customer"}
		case "cancel":
			return engine.Outcome{Kind: engine.OutcomeCancel, Reason: "not needed"}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`{"n":1}`)}
	})
	close(again)
	var ms []*engine.Message
	for _, name := range []string{"ok", "retry", "snooze", "fail", "cancel"} {
		m := benchMessage()
		m.Name = name
		ms = append(ms, m)
	}
	if _, err := b.e.Insert(t.Context(), ms); err != nil {
		t.Fatal(err)
	}
	if j := b.state(1, rivertype.JobStateCompleted); string(j.Output()) != `{"n": 1}` || j.Attempt != 1 || j.FinalizedAt == nil {
		t.Errorf("River has output %s and attempt %d", j.Output(), j.Attempt)
	}
	if j := b.state(2, rivertype.JobStateRetryable); len(j.Errors) != 1 || j.Errors[0].Error != "card declined" || j.Attempt != 1 {
		t.Errorf("River has errors %+v and attempt %d", j.Errors, j.Attempt)
	}
	if j := b.state(3, rivertype.JobStateScheduled); j.Attempt != 0 || time.Until(j.ScheduledAt) < 50*time.Minute {
		t.Errorf("River has attempt %d, scheduled at %v", j.Attempt, j.ScheduledAt)
	}
	if j := b.state(4, rivertype.JobStateDiscarded); len(j.Errors) != 1 || j.Errors[0].Error != "no such customer" {
		t.Errorf("River has errors %+v", j.Errors)
	}
	b.state(5, rivertype.JobStateCancelled)
}

// TestRiver_Commands: cancel, retry and delete by a River client, as its UI does.
func TestRiver_Commands(t *testing.T) {
	b := newNeighbours(t)
	running := make(chan struct{}, 10)
	b.serve([]string{"long"}, func(ctx context.Context, d *engine.Delivery) engine.Outcome {
		if d.Attempt == 0 && len(running) == 0 {
			running <- struct{}{}
			ctx, cancel := d.Context(ctx)
			defer cancel()
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), engine.ErrCancelled) {
				t.Errorf("the run was stopped with %v", context.Cause(ctx))
			}
			return engine.Outcome{Kind: engine.OutcomeCancel, Reason: "cancelled"}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	m := benchMessage()
	m.Name, m.Meta.Retries = "long", 0
	in, err := b.e.InsertOne(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for len(running) == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := b.client.JobCancel(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	b.state(1, rivertype.JobStateCancelled)
	if _, err := b.client.JobRetry(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	b.state(1, rivertype.JobStateCompleted)
	en, err := b.e.Get(t.Context(), in.ID)
	if err != nil || en.State != engine.StateSucceeded || en.Attempt != 0 {
		t.Errorf("after River's retry the entry is %+v, %v, want succeeded with Attempt 0: no run ended with a retry", en, err)
	}
	if _, err := b.client.JobDelete(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.e.Get(t.Context(), in.ID); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("after River's delete Get returns %v", err)
	}
}

// TestRiver_Producer: what a River client enqueues is run, with its options.
func TestRiver_Producer(t *testing.T) {
	b := newNeighbours(t)
	ran := make(chan *engine.Delivery, 10)
	b.serve([]string{"bench.charge"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		ran <- d
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	began := time.Now()
	if _, err := b.client.Insert(t.Context(), benchArgs{"c-1", 5}, &river.InsertOpts{
		UniqueOpts: river.UniqueOpts{ByArgs: true}, ScheduledAt: began.Add(50 * time.Millisecond),
	}); err != nil {
		t.Fatal(err)
	}
	d := <-ran
	if d.Message.Meta.Version != 0 || d.Message.Meta.ID == uuid.Nil || string(d.Message.Args) != `{"cents": 5, "customer": "c-1"}` {
		t.Errorf("the task is %+v", d.Message)
	}
	if time.Since(began) < 50*time.Millisecond {
		t.Error("the task ran before it was due")
	}
	b.state(1, rivertype.JobStateCompleted)
}

// TestRiver_MetadataOfOthers: what a River client has put into a job's metadata is told
// beside the task, and what is ours is not.
func TestRiver_MetadataOfOthers(t *testing.T) {
	b := newNeighbours(t)
	res, err := b.client.Insert(t.Context(), benchArgs{"c-1", 5}, &river.InsertOpts{Metadata: []byte(`{"trace": "t-1", "by": {"user": 7}}`)})
	require.NoError(t, err)
	ours, err := b.e.InsertOne(t.Context(), benchMessage())
	require.NoError(t, err)
	es, _, err := b.e.List(t.Context(), engine.Query{})
	require.NoError(t, err)
	require.Len(t, es, 2)
	for _, en := range es {
		got, err := b.e.Get(t.Context(), en.ID)
		require.NoError(t, err)
		if en.ID == ours.ID {
			assert.Nil(t, got.Beside())
			continue
		}
		assert.JSONEq(t, `{"trace": "t-1", "by": {"user": 7}}`, string(got.Beside()), "job %d", res.Job.ID)
	}
}

// TestRiver_PausedQueue: River's UI pauses and resumes a queue.
func TestRiver_PausedQueue(t *testing.T) {
	b := newNeighbours(t)
	ran := make(chan string, 10)
	b.serve([]string{"bench.charge"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		ran <- d.Message.Queue
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	insert := func() {
		t.Helper()
		if _, err := b.e.InsertOne(t.Context(), benchMessage()); err != nil {
			t.Fatal(err)
		}
	}
	insert()
	<-ran // the worker is up, and the queue listed
	if err := b.client.QueuePause(t.Context(), "default", nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // two heartbeats, should the notification be lost
	insert()
	select {
	case <-ran:
		t.Error("a task of a paused queue was run")
	case <-time.After(300 * time.Millisecond):
	}
	if err := b.client.QueueResume(t.Context(), "default", nil); err != nil {
		t.Fatal(err)
	}
	<-ran
}

// TestRiver_PauseAgrees: a pause of ours is River's, for its clients too, and the other
// way round.
func TestRiver_PauseAgrees(t *testing.T) {
	b := newNeighbours(t)
	paused := func() bool {
		t.Helper()
		ps, err := b.e.Paused(t.Context())
		require.NoError(t, err)
		return engine.Holds(ps, "default", "")
	}
	require.NoError(t, b.e.Pause(t.Context(), engine.Pause{Queue: "default"}), "a queue that nobody has served")
	q, err := b.client.QueueGet(t.Context(), "default")
	require.NoError(t, err)
	assert.NotNil(t, q.PausedAt)
	assert.True(t, paused())
	require.NoError(t, b.client.QueueResume(t.Context(), "default", nil))
	assert.False(t, paused())
	require.NoError(t, b.client.QueuePause(t.Context(), "default", nil))
	assert.True(t, paused())
	require.NoError(t, b.e.Resume(t.Context(), engine.Pause{Queue: "default"}))
	q, err = b.client.QueueGet(t.Context(), "default")
	require.NoError(t, err)
	assert.Nil(t, q.PausedAt)
	require.NoError(t, b.e.Pause(t.Context(), engine.Pause{Name: "bench.charge"}))
}

// TestRiver_InAnotherSchema: a River of the user's own in the same database, with
// a queue and a kind of the same names, has nothing to do with ours.
func TestRiver_InAnotherSchema(t *testing.T) {
	ours, theirs := newNeighbours(t), newNeighbours(t)
	mine := make(chan *engine.Delivery, 100)
	ours.serve([]string{beside.Kind}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		mine <- d
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	ran := make(chan *river.Job[benchArgs], 100)
	ws := river.NewWorkers()
	river.AddWorker(ws, river.WorkFunc(func(_ context.Context, j *river.Job[benchArgs]) error {
		ran <- j
		return nil
	}))
	c, err := river.NewClient(riverpgxv5.New(theirs.pool), &river.Config{
		Schema: theirs.schema, Logger: quiet, Workers: ws, FetchCooldown: time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := ours.e.InsertOne(t.Context(), benchMessage()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Insert(t.Context(), benchArgs{"theirs", 1}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if d := <-mine; d.Message.Meta.Version != engine.WirePlain {
			t.Errorf("our worker ran a job of River's: %s", d.Message.Args)
		}
		if j := <-ran; j.Args.Customer != "theirs" {
			t.Errorf("River's worker ran a task of ours: %+v", j.Args)
		}
	}
	if err := c.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestRiver_WorkerBeside: a River worker works its own queue of the same schema,
// with all of River's maintenance, and neither touches the other's jobs.
func TestRiver_WorkerBeside(t *testing.T) {
	b := newNeighbours(t)
	mine, theirs := make(chan string, 100), make(chan string, 100)
	b.serve([]string{"ours.task"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		mine <- d.Message.Name
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	ws := river.NewWorkers()
	river.AddWorker(ws, river.WorkFunc(func(_ context.Context, j *river.Job[benchArgs]) error {
		theirs <- j.Kind
		return nil
	}))
	c, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Schema: b.schema, Logger: quiet, Workers: ws, FetchCooldown: time.Millisecond,
		Queues: map[string]river.QueueConfig{"rivers": {MaxWorkers: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		m := benchMessage()
		m.Name = "ours.task"
		if _, err := b.e.InsertOne(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Insert(t.Context(), benchArgs{}, &river.InsertOpts{Queue: "rivers"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if k := <-mine; k != "ours.task" {
			t.Errorf("our worker ran %s", k)
		}
		if k := <-theirs; k != "bench.charge" {
			t.Errorf("River's worker ran %s", k)
		}
	}
	if err := c.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}
