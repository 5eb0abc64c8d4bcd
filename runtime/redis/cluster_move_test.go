package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

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
