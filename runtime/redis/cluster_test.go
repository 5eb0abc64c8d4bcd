package redis_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/redis"
)

// addrs are the addresses of servers.
func addrs(t testing.TB, servers []*servertest.Server) []string {
	t.Helper()
	all := make([]string, len(servers))
	for i, s := range servers {
		host, port := hostPort(t, s)
		all[i] = net.JoinHostPort(host, port)
	}
	return all
}

// clusterClient is a client of a cluster.
func clusterClient(t testing.TB, servers []*servertest.Server) *goredis.ClusterClient {
	t.Helper()
	db := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs(t, servers)})
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

// keysOf are all keys of a cluster.
func keysOf(t *testing.T, db *goredis.ClusterClient) (keys []string) {
	t.Helper()
	var mu sync.Mutex
	require.NoError(t, db.ForEachMaster(t.Context(), func(ctx context.Context, one *goredis.Client) error {
		some, err := one.Keys(ctx, "*").Result()
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, some...)
		return err
	}))
	return keys
}

// holderOf is the server of a cluster that has the slot of a hash tag, and the others.
func holderOf(t testing.TB, servers []*servertest.Server, tag string) (holder *servertest.Server, others []*servertest.Server) {
	t.Helper()
	db := clusterClient(t, servers)
	one, err := db.MasterForKey(t.Context(), "{"+tag+"}")
	require.NoError(t, err)
	for i, addr := range addrs(t, servers) {
		if addr == one.Options().Addr {
			holder = servers[i]
		} else {
			others = append(others, servers[i])
		}
	}
	require.NotNil(t, holder)
	return holder, others
}

// TestOpen_ClusterOfOneShard: a cluster that has not divided its keys is a server like
// any other.
func TestOpen_ClusterOfOneShard(t *testing.T) {
	t.Parallel()
	one := servertest.NewRedisCluster(t, 1)[0]
	app, task := sumApp(t, one.URL+"0", "q-one", nil)
	h, err := sumCall(task, 1, 2).Enqueue(t.Context(), app)
	require.NoError(t, err)
	sum, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, sum)
}

// TestNew_Clients: a client of a cluster's shard alone, one that reads from replicas
// and a Ring are refused when the engine opens.
func TestNew_Clients(t *testing.T) {
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	all := addrs(t, servers)
	one, err := client(servers[0].URL + "0")
	require.NoError(t, err)
	for want, db := range map[string]goredis.UniversalClient{
		"3 shards": one,
		"replicas": goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: all, ReadOnly: true}),
		"a Ring":   goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": all[0], "b": all[1]}}),
	} {
		_, err := redis.New(t.Context(), db, redis.Config{})
		require.ErrorIs(t, err, engine.ErrUnsupported)
		require.ErrorContains(t, err, want)
		require.NoError(t, db.Close())
	}
	e, err := redis.New(t.Context(), clusterClient(t, servers), redis.Config{})
	require.NoError(t, err)
	require.NoError(t, e.Close())
}

// TestOpen_Cluster: an engine opens on a cluster by the URL of any of its servers, or of
// several. Its keys are in one slot, beside asynq's list of queues.
func TestOpen_Cluster(t *testing.T) {
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	db := clusterClient(t, servers)
	app, task := sumApp(t, servers[0].URL+"0", "mail", nil)
	all := addrs(t, servers)
	for _, url := range []string{
		servers[1].URL, servers[2].URL + "?db=0", servers[0].URL + "?hash_tag=taskctx",
		"redis://" + all[2] + "?addr=" + all[1] + "&addr=" + all[0],
	} {
		other := runtime.New(open(t, url, redis.Config{}), runtime.Config{Logger: testLog(t)})
		h, err := sumCall(task, 1, 2).Enqueue(t.Context(), other)
		require.NoError(t, err)
		sum, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, sum)
	}
	_, err := sumCall(task, 1, 2, runtime.WithDelay(time.Hour), runtime.WithUnique(time.Hour)).Enqueue(t.Context(), app)
	require.NoError(t, err)
	keys := keysOf(t, db)
	assert.NotEmpty(t, keys)
	for _, key := range keys {
		assert.Regexp(t, `^(asynq:queues|asynq:\{taskctx\}mail\}:.*|taskctx:\{taskctx\}:.*)$`, key)
	}
	for _, url := range []string{servers[0].URL + "3", "redis://" + all[0] + "/3?addr=" + all[1]} {
		_, err := redis.Open(t.Context(), url, redis.Config{})
		require.Error(t, err, url)
	}
	_, err = redis.Open(t.Context(), servers[0].URL+"?hash_tag=a", redis.Config{HashTag: "b"})
	require.ErrorContains(t, err, `hash tag "a"`)
	_, err = redis.Open(t.Context(), servers[0].URL, redis.Config{HashTag: "a}b"})
	require.ErrorContains(t, err, "hash tag")
}

// TestOpen_ClusterUser: a user of a cluster needs the keys and channels that
// docs/engines.md names, and no command of administrators. Without the channels the
// engine does not open.
func TestOpen_ClusterUser(t *testing.T) {
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	for _, s := range servers {
		db, err := client(s.URL + "0")
		require.NoError(t, err)
		for name, channels := range map[string]string{"app": "&taskctx:*", "deaf": "resetchannels"} {
			require.NoError(t, db.Do(t.Context(), "ACL", "SETUSER", name, "on", ">pw", "~asynq:*", "~taskctx:*", channels,
				"+@all", "-@admin", "-@dangerous").Err())
		}
		require.NoError(t, db.Close())
	}
	addr := addrs(t, servers)[0]
	app, task := sumApp(t, "redis://app:pw@"+addr, "mail", nil)
	h, err := sumCall(task, 1, 2).Enqueue(t.Context(), app)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	_, err = redis.Open(t.Context(), "redis://deaf:pw@"+addr, redis.Config{})
	require.ErrorContains(t, err, "ACL SETUSER <user> &taskctx:{taskctx}:*")
}

// TestOpen_HashTags: apps of different hash tags on a cluster do not see each other, nor
// do they on a server. Their queues have the same name.
//
// Proves: FEATURES 117
func TestOpen_HashTags(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"cluster": func(t *testing.T) string { return servertest.NewRedisCluster(t, 3)[0].URL },
		"server":  func(t *testing.T) string { return servertest.NewRedis(t).URL + "0" },
	} {
		t.Run(name, func(t *testing.T) {
			url := url(t)
			var apps []*runtime.App
			task := sumTask("mail")
			ran := make(chan string, 10)
			for _, tag := range []string{"shop", "blog", "mail"} {
				app := runtime.New(open(t, url+"?hash_tag="+tag, redis.Config{}), runtime.Config{Logger: testLog(t), Workers: 1})
				glue.Register(app, task, func(context.Context, *sumArgs) (int, error) {
					ran <- tag
					return 0, nil
				})
				apps = append(apps, app)
			}
			for i := range 3 {
				h, err := sumCall(task, 1, 1).Enqueue(t.Context(), apps[0])
				require.NoError(t, err)
				for _, other := range apps[1:] {
					_, err = other.Engine().Get(t.Context(), h.ID())
					require.ErrorIs(t, err, engine.ErrNotFound, "task %d", i)
				}
			}
			for _, app := range apps {
				require.NoError(t, app.Start(t.Context()))
				t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
			}
			h, err := sumCall(task, 1, 1).Enqueue(t.Context(), apps[2])
			require.NoError(t, err)
			_, err = h.Wait(t.Context())
			require.NoError(t, err)
			counts := make(map[string]int)
			for range 4 {
				counts[<-ran]++
			}
			assert.Equal(t, map[string]int{"shop": 3, "mail": 1}, counts)
		})
	}
}
