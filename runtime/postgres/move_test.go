package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/wire"
)

// deliverJob are the arguments of a River program's job. The producer has a field
// more than the program that takes it over.
type deliverJob struct {
	UserID   int    `json:"user_id"`
	Template string `json:"template"`
	Trace    string `json:"trace"`
}

func (deliverJob) Kind() string { return "deliver" }

// deliveries notes which delivery was done by whom, and how often.
type deliveries struct {
	mu    sync.Mutex
	tried map[int]bool
	done  map[int]int
	by    map[string]int
}

// deliver is the work, of both programs: every tenth delivery fails at first.
func (d *deliveries) deliver(who string, user int) error {
	time.Sleep(2 * time.Millisecond) // work
	d.mu.Lock()
	defer d.mu.Unlock()
	if user%10 == 0 && !d.tried[user] {
		d.tried[user] = true
		return errors.New("the mail server is busy")
	}
	d.done[user]++
	d.by[who]++
	return nil
}

func (d *deliveries) count(who string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if who == "" {
		return len(d.done)
	}
	return d.by[who]
}

// deliverWorker is the River program's worker.
type deliverWorker struct {
	river.WorkerDefaults[deliverJob]
	work *deliveries
}

func (w *deliverWorker) Work(_ context.Context, job *river.Job[deliverJob]) error {
	return w.work.deliver("river", job.Args.UserID)
}

func (w *deliverWorker) NextRetry(*river.Job[deliverJob]) time.Time {
	return time.Now().Add(200 * time.Millisecond)
}

// TestMove_ARiverProgram: a River program moves while it works. Its queue is full, its
// producer stays as it is, and its workers are replaced one by one. Nothing is lost,
// nothing is done twice, and what failed under one worker is retried by any.
//
// Proves: FEATURES 114
func TestMove_ARiverProgram(t *testing.T) {
	b := newNeighbours(t)
	url := servertest.Postgres(t)
	const first, workers = 600, 3
	work := &deliveries{tried: map[int]bool{}, done: map[int]int{}, by: map[string]int{}}
	sent := 0
	send := func(n int) {
		params := make([]river.InsertManyParams, n)
		for i := range params {
			opts := &river.InsertOpts{MaxAttempts: 6}
			if sent%7 == 0 {
				opts.ScheduledAt = time.Now().Add(time.Second)
			}
			params[i] = river.InsertManyParams{Args: deliverJob{sent, "welcome", "the producer's own"}, InsertOpts: opts}
			sent++
		}
		_, err := b.client.InsertMany(t.Context(), params)
		require.NoError(t, err)
	}
	send(first)

	var olds []*river.Client[pgx.Tx]
	for range workers {
		all := river.NewWorkers()
		river.AddWorker(all, &deliverWorker{work: work})
		c, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
			Schema: b.schema, Logger: quiet, Workers: all, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}},
			FetchPollInterval: 100 * time.Millisecond, FetchCooldown: 20 * time.Millisecond,
		})
		require.NoError(t, err)
		require.NoError(t, c.Start(context.Background()))
		olds = append(olds, c)
	}
	// One after the other: a worker of ours comes, and one of River's goes.
	for i, old := range olds {
		until := work.count("") + 100
		for work.count("") < until {
			send(1) // the producer knows of nothing
		}
		ours(t, url, b.schema, work)
		if i == workers-1 {
			require.Eventually(t, func() bool { return work.count("taskctx") > 0 }, time.Minute, time.Millisecond)
		}
		require.NoError(t, old.Stop(t.Context()))
	}
	send(50)
	require.Eventually(t, func() bool { return work.count("") == sent }, 120*time.Second, 10*time.Millisecond,
		"%d of %d", work.count(""), sent)

	work.mu.Lock()
	twice := 0
	for _, n := range work.done {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d deliveries, 0 lost, %d twice: %d by River, %d by taskctx", sent, twice, work.by["river"], work.by["taskctx"])
	assert.Zero(t, twice)
	assert.Positive(t, work.by["river"])
	work.mu.Unlock()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		left, err := b.client.JobList(context.Background(), river.NewJobListParams().First(100).States(
			rivertype.JobStateAvailable, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
			rivertype.JobStateDiscarded))
		require.NoError(t, err)
		assert.Empty(t, left.Jobs)
	}, 20*time.Second, 20*time.Millisecond)
}

// deliverArgs are what the program that takes over reads.
type deliverArgs struct {
	userID   int
	template string
}

func (a *deliverArgs) fields(f *wire.Fields) {
	f.Int("user_id", &a.userID)
	f.String("template", &a.template)
}

// ours starts a worker of taskctx for the program's jobs.
func ours(t *testing.T, url, schema string, work *deliveries) {
	t.Helper()
	app := runtime.New(open(t, url, postgres.Config{Schema: schema}), runtime.Config{Workers: 2, Logger: quiet})
	task := glue.NewTask[deliverArgs, runtime.Void](wire.Spec{
		Name: "deliver", Func: "Deliver", Retries: 5, Delay: 200 * time.Millisecond,
		Params: []wire.Param{{Name: "user_id", Sig: "int"}, {Name: "template", Sig: "string"}},
	}, (*deliverArgs).fields)
	glue.Register(app, task, func(_ context.Context, d *deliverArgs) (runtime.Void, error) {
		return runtime.Void{}, work.deliver("taskctx", d.userID)
	})
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
}
