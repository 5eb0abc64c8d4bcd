package redis_test

import (
	"context"
	"flag"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
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

// TestOpen_ClusterDividedLater: an engine without a hash tag on the one shard of a
// cluster says what has happened when its slots are on another.
func TestOpen_ClusterDividedLater(t *testing.T) {
	t.Parallel()
	one := servertest.NewRedisCluster(t, 1)[0]
	e := open(t, one.URL+"0", redis.Config{})
	insert := func() error {
		_, err := e.Insert(t.Context(), []*engine.Message{{Name: "n", Queue: "q", Args: []byte(`{}`)}})
		return err
	}
	require.NoError(t, insert())
	other := servertest.Join(t, one)
	moveSlots(t, one, other)
	require.ErrorContains(t, insert(), "Config.HashTag")
	_, _, err := e.List(t.Context(), engine.Query{})
	require.Error(t, err)
	_, err = e.Get(t.Context(), uuid.New())
	require.ErrorContains(t, err, "Config.HashTag")

	db := clusterClient(t, []*servertest.Server{one, other})
	open(t, one.URL, redis.Config{})
	require.NoError(t, db.ZAdd(t.Context(), "taskctx:workers", goredis.Z{Member: "a worker"}).Err())
	_, err = redis.Open(t.Context(), one.URL, redis.Config{})
	require.ErrorContains(t, err, "Config.HashTag")
	open(t, one.URL, redis.Config{HashTag: redis.DefaultHashTag})
}

// moveSlots moves all slots of a server that are those of keys, with their keys.
func moveSlots(t *testing.T, from, to *servertest.Server) {
	t.Helper()
	source, err := client(from.URL + "0")
	require.NoError(t, err)
	defer source.Close()
	keys, err := source.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	moved := make(map[int64]bool)
	for _, key := range keys {
		slot, err := source.ClusterKeySlot(t.Context(), key).Result()
		require.NoError(t, err)
		if !moved[slot] {
			moved[slot] = true
			m := newMove(t, from, to, slot)
			m.begin()
			m.some(1000)
			m.end()
		}
	}
}

// move is a slot on its way to another server, as redis-cli --cluster reshard moves it.
type move struct {
	*testing.T
	from, to *goredis.Client
	ids      [2]string
	host     string
	port     string
	slot     int64
}

func newMove(t *testing.T, from, to *servertest.Server, slot int64) *move {
	t.Helper()
	m := &move{T: t, slot: slot}
	m.host, m.port = hostPort(t, to)
	for i, s := range []*servertest.Server{from, to} {
		db, err := client(s.URL + "0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		m.ids[i], err = db.Do(t.Context(), "CLUSTER", "MYID").Text()
		require.NoError(t, err)
		if i == 0 {
			m.from = db
		} else {
			m.to = db
		}
	}
	return m
}

// begin makes both servers know that the slot moves.
func (m *move) begin() {
	m.Helper()
	ctx := m.Context()
	require.NoError(m, m.to.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.ids[0]).Err())
	require.NoError(m, m.from.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.ids[1]).Err())
}

// some moves so many keys at most.
func (m *move) some(n int) (moved int) {
	m.Helper()
	keys, err := m.from.ClusterGetKeysInSlot(m.Context(), int(m.slot), n).Result()
	require.NoError(m, err)
	if len(keys) > 0 {
		m.keys(keys...)
	}
	return len(keys)
}

// keys moves keys.
func (m *move) keys(keys ...string) {
	m.Helper()
	args := []any{"MIGRATE", m.host, m.port, "", 0, 5000, "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	require.NoError(m, m.from.Do(m.Context(), args...).Err())
}

// end gives the slot to the server that has its keys.
func (m *move) end() {
	m.Helper()
	for _, db := range []*goredis.Client{m.to, m.from} {
		require.NoError(m, db.Do(m.Context(), "CLUSTER", "SETSLOT", m.slot, "NODE", m.ids[1]).Err())
	}
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
				runtime.Register(app, task, func(context.Context, *sumArgs) (int, error) {
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
	case <-time.After(20 * time.Second):
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

// TestEngine_SlotMoves: while the slot moves to another shard no script sees a part of
// its keys; afterwards all goes on there: what waited runs once, a run under way ends.
//
// Proves: FEATURES 117
func TestEngine_SlotMoves(t *testing.T) {
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	from, others := holderOf(t, servers, redis.DefaultHashTag)
	release := make(chan struct{})
	app, task := sumApp(t, servers[0].URL, "mail", release)
	runs, err := sumCall(task, 50, 50).Enqueue(t.Context(), app)
	require.NoError(t, err)
	eventually(t, "it runs", func() bool {
		en, err := app.Engine().Get(t.Context(), runs.ID())
		return err == nil && en.State == engine.StateRunning
	})
	var waits []*runtime.Handle[int]
	for i := range 50 {
		h, err := sumCall(task, i, 0, runtime.WithDelay(500*time.Millisecond)).Enqueue(t.Context(), app)
		require.NoError(t, err)
		waits = append(waits, h)
	}
	db := clusterClient(t, servers)
	slot, err := db.ClusterKeySlot(t.Context(), "{"+redis.DefaultHashTag+"}").Result()
	require.NoError(t, err)
	m := newMove(t, from, others[0], slot)
	m.begin()
	m.keys("asynq:{taskctx}mail}:scheduled") // without what it leads to
	time.Sleep(time.Second)                  // all become due meanwhile, and workers look for them
	_, err = sumCall(task, 1, 1).Enqueue(t.Context(), app)
	require.Error(t, err)
	assert.NotErrorIs(t, err, engine.ErrUnsupported)
	for m.some(30) > 0 {
	}
	m.end()
	close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i, h := range waits {
		sum, err := h.Wait(ctx)
		require.NoError(t, err)
		assert.Equal(t, i, sum)
		en, err := app.Engine().Get(t.Context(), h.ID())
		require.NoError(t, err)
		assert.Zero(t, en.Attempt)
	}
	sum, err := runs.Wait(ctx)
	require.NoError(t, err)
	assert.Equal(t, 100, sum)
}

// TestOpen_ClusterFailover: after the death of the shard that has the slot, its replica
// takes its place, and all goes on there: what waits runs, a run under way ends,
// callers enqueue and wait.
//
// Proves: RELIABILITY 25
// Proves: FEATURES 117
func TestOpen_ClusterFailover(t *testing.T) {
	slow(t)
	t.Parallel()
	options := []string{"--cluster-node-timeout", "3000"}
	servers := servertest.NewRedisCluster(t, 3, options...)
	first, others := holderOf(t, servers, redis.DefaultHashTag)
	servertest.NewRedisReplica(t, first, options...)
	release := make(chan struct{})
	app, task := sumApp(t, others[0].URL, "mail", release)
	runs, err := sumCall(task, 50, 50).Enqueue(t.Context(), app)
	require.NoError(t, err)
	eventually(t, "it runs", func() bool {
		en, err := app.Engine().Get(t.Context(), runs.ID())
		return err == nil && en.State == engine.StateRunning
	})
	delayed, err := sumCall(task, 1, 1, runtime.WithDelay(3*time.Second)).Enqueue(t.Context(), app)
	require.NoError(t, err)
	one, err := client(first.URL + "0")
	require.NoError(t, err)
	defer one.Close()
	eventually(t, "the replica has all", func() bool {
		n, err := one.Wait(t.Context(), 1, time.Second).Result()
		return err == nil && n == 1
	})
	first.Kill(t)
	at := time.Now()
	close(release)
	var after *runtime.Handle[int]
	eventually(t, "a task is enqueued", func() bool {
		after, err = sumCall(task, 2, 2).Enqueue(t.Context(), app)
		return err == nil
	})
	t.Logf("%v after the death of the server a task is enqueued", time.Since(at))
	for _, h := range []*runtime.Handle[int]{runs, delayed, after} {
		_, err := h.Wait(t.Context())
		require.NoError(t, err)
	}
	t.Logf("%v after the death of the server all have ended", time.Since(at))
	en, err := app.Engine().Get(t.Context(), runs.ID())
	require.NoError(t, err)
	assert.Zero(t, en.Attempt, "the run was not lost")
}

var wholeCluster = flag.Bool("cluster", false, "run the whole suite on a cluster of three shards, as make cluster does")

// onClusterToo are the groups of the suite that an ordinary run has on a cluster: those
// where a script touches keys of several queues, or of none. The others take minutes.
var onClusterToo = []string{
	"Insert", "Key", "KeyHold", "Replace", "Journal", "Ends", "Bereft", "Signal", "Limit", "Pause", "Names", "Cancel",
	"Delete", "Hostile", "Count", "History", "Look",
}

// TestEngine_Cluster: the suite's promises hold on a cluster of three shards. With -cluster
// it is the whole suite, for the apps of four hash tags at once.
//
// Proves: FEATURES 117
func TestEngine_Cluster(t *testing.T) {
	slow(t)
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	tags := []string{redis.DefaultHashTag}
	if *wholeCluster {
		tags = append(tags, "a", "b", "c")
	}
	for _, tag := range tags {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			suite(t, place{
				open: func(tb testing.TB, cfg redis.Config) *redis.Engine {
					cfg.HashTag = tag
					return open(tb, servers[0].URL, cfg)
				},
				through: func(tb testing.TB, cfg redis.Config) (*redis.Engine, func() func()) {
					group, _, _ := strings.Cut(strings.TrimPrefix(tb.Name(), t.Name()+"/"), "/")
					if !*wholeCluster && !slices.Contains(onClusterToo, group) {
						tb.Skip("run by make cluster")
					}
					cfg.HashTag = tag
					return throughProxies(tb, servers, cfg)
				},
				asynq:  asynq.RedisClusterClientOpt{Addrs: addrs(t, servers)},
				prefix: tag + "}",
			}, 2*time.Second, 100, nil)
		})
	}
}

// throughProxies opens an engine on a cluster that reaches each server by a proxy, and
// returns what holds all of them up.
func throughProxies(tb testing.TB, servers []*servertest.Server, cfg redis.Config) (*redis.Engine, func() func()) {
	tb.Helper()
	to := make(map[string]string)
	var proxies []*servertest.Proxy
	o := &goredis.ClusterOptions{ContextTimeoutEnabled: true}
	for _, s := range servers {
		p := servertest.NewProxy(tb, s.URL)
		server, err := url.Parse(s.URL)
		require.NoError(tb, err)
		proxy, err := url.Parse(p.URL)
		require.NoError(tb, err)
		to[server.Host] = proxy.Host
		proxies, o.Addrs = append(proxies, p), append(o.Addrs, server.Host)
	}
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to[addr])
	}
	db := goredis.NewClusterClient(o)
	if cfg.Logger == nil {
		cfg.Logger = testLog(tb)
	}
	e, err := redis.New(context.Background(), db, cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		assert.NoError(tb, e.Close())
		assert.NoError(tb, db.Close())
	})
	return e, func() func() {
		var resumes []func()
		for _, p := range proxies {
			resumes = append(resumes, p.Pause())
		}
		return func() {
			for _, resume := range resumes {
				resume()
			}
		}
	}
}
