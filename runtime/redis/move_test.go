package redis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/redis"
	"github.com/taskctx/taskctx/runtime/wire"
)

// deliveries notes which delivery was done by whom, and how often.
type deliveries struct {
	mu    sync.Mutex
	tried map[int]bool
	done  map[int][]string
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
	d.done[user] = append(d.done[user], who)
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

type deliverArgs struct {
	UserID   int    `json:"user_id"`
	Template string `json:"template"`
}

func (a *deliverArgs) fields(f *wire.Fields) {
	f.Int("user_id", &a.UserID)
	f.String("template", &a.Template)
}

// TestMove_AnAsynqProgram: an asynq program moves while it works. Its queue is full,
// its producer stays as it is, and its workers are replaced one by one. Nothing is
// lost, nothing is done twice, and what failed under one worker is retried by any.
//
// Proves: FEATURES 114
func TestMove_AnAsynqProgram(t *testing.T) {
	url, _ := servertest.Redis(t)
	const queue, first, workers = "mail", 600, 3
	work := &deliveries{tried: map[int]bool{}, done: map[int][]string{}, by: map[string]int{}}

	client := asynq.NewClient(asynqOpt(t, url))
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	sent := 0
	send := func() {
		payload, err := json.Marshal(map[string]any{"user_id": sent, "template": "welcome", "trace": "of the producer's own"})
		require.NoError(t, err)
		opts := []asynq.Option{asynq.Queue(queue), asynq.MaxRetry(5)}
		if sent%7 == 0 {
			opts = append(opts, asynq.ProcessIn(time.Second))
		}
		_, err = client.Enqueue(asynq.NewTask("email:deliver", payload), opts...)
		require.NoError(t, err)
		sent++
	}
	for range first {
		send()
	}

	var olds []*asynq.Server
	for range workers {
		s := asynq.NewServer(asynqOpt(t, url), asynq.Config{
			Concurrency: 2, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel, TaskCheckInterval: 200 * time.Millisecond,
			RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 200 * time.Millisecond },
			DelayedTaskCheckInterval: 200 * time.Millisecond,
		})
		require.NoError(t, s.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
			var d deliverArgs
			if err := json.Unmarshal(task.Payload(), &d); err != nil {
				return fmt.Errorf("decode: %w: %w", err, asynq.SkipRetry)
			}
			return work.deliver("asynq", d.UserID)
		})))
		olds = append(olds, s)
	}
	// One after the other: a worker of ours comes, and one of asynq's goes.
	for i, old := range olds {
		until := work.count("") + 100
		for work.count("") < until {
			send() // the producer knows of nothing
			time.Sleep(time.Millisecond)
		}
		ours(t, url, queue, work)
		if i == workers-1 {
			require.Eventually(t, func() bool { return work.count("taskctx") > 0 }, time.Minute, time.Millisecond)
		}
		old.Shutdown()
	}
	for range 50 {
		send()
	}
	require.Eventually(t, func() bool { return work.count("") == sent }, 60*time.Second, 10*time.Millisecond,
		"%d of %d", work.count(""), sent)

	work.mu.Lock()
	twice := 0
	for _, by := range work.done {
		if len(by) > 1 {
			twice++
		}
	}
	t.Logf("%d deliveries, 0 lost, %d twice: %d by asynq, %d by taskctx", sent, twice, work.by["asynq"], work.by["taskctx"])
	assert.Zero(t, twice)
	assert.Positive(t, work.by["asynq"])
	work.mu.Unlock()
	ins := asynq.NewInspector(asynqOpt(t, url))
	t.Cleanup(func() { assert.NoError(t, ins.Close()) })
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		info, err := ins.GetQueueInfo(queue)
		require.NoError(t, err)
		assert.Zero(t, info.Pending+info.Active+info.Scheduled+info.Retry+info.Archived, "%+v", info)
	}, 20*time.Second, 20*time.Millisecond)
}

// ours starts a worker of taskctx for the program's tasks.
func ours(t *testing.T, url, queue string, work *deliveries) {
	t.Helper()
	app := runtime.New(open(t, url, redis.Config{}), runtime.Config{Workers: 2, Logger: testLog(t)})
	task := glue.NewTask[deliverArgs, runtime.Void](wire.Spec{
		Name: "email:deliver", Func: "Deliver", Queue: queue, Retries: 5, Delay: 200 * time.Millisecond,
		Params: []wire.Param{{Name: "user_id", Sig: "int"}, {Name: "template", Sig: "string"}},
	}, (*deliverArgs).fields)
	glue.Register(app, task, func(_ context.Context, d *deliverArgs) (runtime.Void, error) {
		return runtime.Void{}, work.deliver("taskctx", d.UserID)
	})
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
}
