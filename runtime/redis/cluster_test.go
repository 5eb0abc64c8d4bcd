package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

// TestOpen_ClusterOfOneShard: a cluster that has not divided its keys is a server like
// any other.
func TestOpen_ClusterOfOneShard(t *testing.T) {
	one := servertest.NewRedisCluster(t, 1)[0]
	app, task := sumApp(t, one.URL+"0", "q-one", nil)
	h, err := sumCall(task, 1, 2).Enqueue(t.Context(), app)
	require.NoError(t, err)
	sum, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, sum)
}

// TestOpen_ClusterIsRefused: a cluster of three shards is refused when the engine
// opens, by whatever client, and not when a task is lost between two of them. asynq's
// own layout is made for one: its client and its server work there.
func TestOpen_ClusterIsRefused(t *testing.T) {
	var addrs []string
	for _, s := range servertest.NewRedisCluster(t, 3) {
		_, err := redis.Open(t.Context(), s.URL+"0", redis.Config{})
		require.ErrorIs(t, err, engine.ErrUnsupported)
		require.ErrorContains(t, err, "3 shards")
		addrs = append(addrs, strings.TrimSuffix(strings.TrimPrefix(s.URL, "redis://"), "/"))
	}
	all := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { assert.NoError(t, all.Close()) })
	_, err := redis.New(t.Context(), all, redis.Config{})
	require.ErrorIs(t, err, engine.ErrUnsupported)

	opt := asynq.RedisClusterClientOpt{Addrs: addrs}
	ran := make(chan string, 8)
	server := asynq.NewServer(opt, asynq.Config{Queues: map[string]int{"a": 1, "b": 1, "c": 1}, LogLevel: asynq.FatalLevel})
	require.NoError(t, server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		ran <- task.Type()
		return nil
	})))
	t.Cleanup(server.Shutdown)
	client := asynq.NewClient(opt)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	nodes := map[string]bool{}
	for i, queue := range []string{"a", "b", "c"} {
		_, err := client.Enqueue(asynq.NewTask(fmt.Sprint("task:", i), nil), asynq.Queue(queue))
		require.NoError(t, err)
		master, err := all.MasterForKey(t.Context(), "asynq:{"+queue+"}:pending")
		require.NoError(t, err)
		nodes[master.Options().Addr] = true
	}
	assert.Greater(t, len(nodes), 1, "the queues are on several shards")
	for range 3 {
		select {
		case <-ran:
		case <-time.After(20 * time.Second):
			t.Fatal("asynq does not run its tasks on a cluster")
		}
	}
}
