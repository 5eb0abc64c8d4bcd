package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

// TestAsynq_Cluster: asynq's client, server and Inspector work with the queue of an
// engine on a cluster, by its name there.
//
// Proves: FEATURES 117
func TestAsynq_Cluster(t *testing.T) {
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	opt := asynq.RedisClusterClientOpt{Addrs: addrs(t, servers)}
	const queue, inAsynq = "mail", redis.DefaultHashTag + "}mail"
	release := make(chan struct{})
	app, task := sumApp(t, servers[0].URL, queue, release)
	ins := asynq.NewInspector(opt)
	t.Cleanup(func() { assert.NoError(t, ins.Close()) })

	// asynq's client enqueues, taskctx runs.
	cl := asynq.NewClient(opt)
	t.Cleanup(func() { assert.NoError(t, cl.Close()) })
	id := uuid.NewString()
	_, err := cl.Enqueue(asynq.NewTask("shop.Sum", []byte(`{"a":1,"b":2}`)), asynq.Queue(inAsynq), asynq.TaskID(id),
		asynq.Retention(time.Hour))
	require.NoError(t, err)
	eventually(t, "the task of asynq's client ends", func() bool {
		info, err := ins.GetTaskInfo(inAsynq, id)
		return err == nil && info.State == asynq.TaskStateCompleted && string(info.Result) == "3"
	})

	// The Inspector sees tasks of ours, and acts on them.
	queues, err := ins.Queues()
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{inAsynq, redis.DefaultHashTag + "}default"}, queues)
	h, err := sumCall(task, 1, 1, runtime.WithDelay(time.Hour)).Enqueue(t.Context(), app)
	require.NoError(t, err)
	info, err := ins.GetTaskInfo(inAsynq, h.ID().String())
	require.NoError(t, err)
	assert.Equal(t, asynq.TaskStateScheduled, info.State)
	assert.Equal(t, inAsynq, info.Queue)
	require.NoError(t, ins.RunTask(inAsynq, h.ID().String()))
	sum, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, sum)

	// taskctx enqueues, asynq's server runs.
	ran := make(chan string, 1)
	server := asynq.NewServer(opt, asynq.Config{Queues: map[string]int{redis.DefaultHashTag + "}other": 1}, LogLevel: asynq.FatalLevel})
	require.NoError(t, server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		ran <- string(task.Payload())
		return nil
	})))
	t.Cleanup(server.Shutdown)
	h, err = sumCall(sumTask("other"), 4, 5).Enqueue(t.Context(), app)
	require.NoError(t, err)
	select {
	case payload := <-ran:
		assert.JSONEq(t, `{"a":4,"b":5}`, payload)
	case <-time.After(time.Minute):
		t.Fatal("asynq's server does not run the task")
	}
	eventually(t, "asynq's server has ended the task", func() bool {
		en, err := app.Engine().Get(t.Context(), h.ID())
		return err == nil && en.State == engine.StateSucceeded
	})

	// A task that is taken from the middle of a long list leaves no entry while servers
	// of asynq are there.
	var ms []*engine.Message
	for range 10_050 {
		ms = append(ms, &engine.Message{Name: "n", Queue: "long", Args: []byte(`{"a":1,"b":1}`)})
	}
	e := open(t, servers[1].URL, redis.Config{})
	in, err := e.Insert(t.Context(), ms)
	require.NoError(t, err)
	require.NoError(t, e.Cancel(t.Context(), in[5000].ID, "enough"))
	stats, err := ins.GetQueueInfo(redis.DefaultHashTag + "}long")
	require.NoError(t, err)
	assert.Equal(t, len(ms)-1, stats.Pending)
}

// TestAsynq_ClusterOneQueue: where the hash tag is the name of the queue, keys are
// asynq's own, and what its client has enqueued before runs.
//
// Proves: FEATURES 117
func TestAsynq_ClusterOneQueue(t *testing.T) {
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	opt := asynq.RedisClusterClientOpt{Addrs: addrs(t, servers)}
	cl := asynq.NewClient(opt)
	t.Cleanup(func() { assert.NoError(t, cl.Close()) })
	info, err := cl.Enqueue(asynq.NewTask("shop.Sum", []byte(`{"a":1,"b":2}`)), asynq.Queue("mail"), asynq.Retention(time.Hour))
	require.NoError(t, err)
	sumApp(t, servers[0].URL+"?hash_tag=mail", "mail", nil)
	ins := asynq.NewInspector(opt)
	t.Cleanup(func() { assert.NoError(t, ins.Close()) })
	eventually(t, "the task of asynq's client ends", func() bool {
		info, err := ins.GetTaskInfo("mail", info.ID)
		return err == nil && info.State == asynq.TaskStateCompleted && string(info.Result) == "3"
	})
}

// TestServe_UnlistedQueue: a queue whose entry in asynq's list somebody has removed is
// there again, by the worker that serves it.
func TestServe_UnlistedQueue(t *testing.T) {
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	db := clusterClient(t, servers)
	release := make(chan struct{})
	_, task := sumApp(t, servers[0].URL, "mail", release)
	close(release)
	require.NoError(t, db.Del(t.Context(), "asynq:queues").Err())
	other, _ := sumApp(t, servers[1].URL, "mail", release)
	h, err := sumCall(task, 1, 1).Enqueue(t.Context(), other)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	queues, err := db.SMembers(t.Context(), "asynq:queues").Result()
	require.NoError(t, err)
	assert.Contains(t, queues, "taskctx}mail")
}
