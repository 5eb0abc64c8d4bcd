package redis_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/redis"
	"github.com/taskctx/taskctx/runtime/wire"
)

// foreignMessage is a message of asynq of the task, as far as a test needs one.
func foreignMessage(kind, args string) string {
	return "\x0a" + string(rune(len(kind))) + kind + "\x12" + string(rune(len(args))) + args
}

// TestServe_BearsWithAnyKey: whatever others have written beside healthy tasks, those
// are run, and listed, counted and stopped.
//
// Proves: RELIABILITY 24
func TestServe_BearsWithAnyKey(t *testing.T) {
	const q = "asynq:{" + engine.DefaultQueue + "}:"
	ctx := context.Background()
	hash := func(db *goredis.Client, id string, fields ...any) { db.HSet(ctx, q+"t:"+id, fields...) }
	msg := foreignMessage("shop.Sum", `{"a":1,"b":2}`)
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, spoil := range map[string]func(db *goredis.Client){
		"a task is a string":  func(db *goredis.Client) { db.Set(ctx, q+"t:x", "hi", 0); db.RPush(ctx, q+"pending", "x") },
		"a task is not there": func(db *goredis.Client) { db.RPush(ctx, q+"pending", "x"); db.RPush(ctx, q+"active", "y") },
		"a scheduled task is a string": func(db *goredis.Client) {
			db.Set(ctx, q+"t:x", "hi", 0)
			db.ZAdd(ctx, q+"scheduled", goredis.Z{Score: 1, Member: "x"})
		},
		"an active task is a string":   func(db *goredis.Client) { db.Set(ctx, q+"t:x", "hi", 0); db.LPush(ctx, q+"active", "x") },
		"the leases are a string":      func(db *goredis.Client) { db.Set(ctx, q+"lease", "hi", 0) },
		"the active ones are a string": func(db *goredis.Client) { db.Set(ctx, q+"active", "hi", 0) },
		"the retries are a string":     func(db *goredis.Client) { db.Set(ctx, q+"retry", "hi", 0) },
		"a counter is a text":          func(db *goredis.Client) { db.Set(ctx, q+"processed", "hi", 0) },
		"a counter is at its end":      func(db *goredis.Client) { db.Set(ctx, q+"processed", int64(math.MaxInt64), 0) },
		"the queues are a string":      func(db *goredis.Client) { db.Del(ctx, "asynq:queues"); db.Set(ctx, "asynq:queues", "x", 0) },
		"an id comes twice": func(db *goredis.Client) {
			hash(db, "x", "msg", msg, "state", "pending")
			db.RPush(ctx, q+"pending", "x", "x", "x")
		},
		"arguments are no JSON": func(db *goredis.Client) {
			hash(db, "x", "msg", foreignMessage("shop.Sum", "\x00{"), "state", "pending")
			db.RPush(ctx, q+"pending", "x")
		},
		"a result is no JSON": func(db *goredis.Client) {
			hash(db, "x", "msg", msg, "state", "completed", "result", "\xff{")
			db.ZAdd(ctx, q+"completed", goredis.Z{Score: 1e12, Member: "x"})
		},
		"details are no JSON": func(db *goredis.Client) {
			hash(db, "x", "msg", foreignMessage("shop.None", "{}"), "state", "pending", "taskctx", "{"+deep)
			db.RPush(ctx, q+"pending", "x")
		},
		"due at the end of time": func(db *goredis.Client) {
			for i, at := range []float64{math.Inf(1), math.Inf(-1), 1e18, 1e13, -1e18} {
				id := string(rune('a' + i))
				hash(db, id, "msg", msg, "state", "scheduled")
				db.ZAdd(ctx, q+"scheduled", goredis.Z{Score: at, Member: id})
			}
		},
		"ghosts run what cannot be read": func(db *goredis.Client) {
			hash(db, "x", "msg", "\xff", "state", "active", "taskctx_owner", "ghost", "taskctx_fence", "f", "taskctx", "{", "taskctx_cancel", "why")
			hash(db, "y", "msg", msg, "state", "active", "taskctx_owner", "ghost", "taskctx_fence", "f")
			db.RPush(ctx, q+"active", "x", "y")
			db.LPush(ctx, "taskctx:beat:ghost", "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := server(t)
			db, err := client(url)
			require.NoError(t, err)
			defer db.Close()
			task := sumTask("")
			app := runtime.New(open(t, url, redis.Config{Lease: time.Second}), runtime.Config{Workers: 4, Logger: testLog(t)})
			glue.Register(app, task, func(_ *runtime.Context, x *sumArgs) (int, error) { return x.a + x.b, nil })
			spoil(db)
			var hs []*runtime.Handle[int]
			for i := range 20 {
				h, err := sumCall(task, i, 1).Enqueue(t.Context(), app)
				require.NoError(t, err)
				hs = append(hs, h)
			}
			require.NoError(t, app.Start(t.Context()))
			for i, h := range hs {
				got, err := h.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, i+1, got)
			}
			rs, _, err := app.List(t.Context(), engine.Query{})
			require.NoError(t, err)
			assert.GreaterOrEqual(t, len(rs), len(hs))
			_, err = json.Marshal(rs)
			require.NoError(t, err, "what is listed can be shown as JSON")
			_, err = app.Counts(t.Context())
			require.NoError(t, err)
			eventually(t, "ghosts run nothing any more", func() bool {
				n, err := db.LLen(t.Context(), q+"active").Result()
				return err == nil && n == 0
			})
			require.NoError(t, app.Stop(context.Background()))
		})
	}
}

// TestServe_UnknownNamesHoldUpNobody: neither by their number, nor by the clock of
// whoever enqueued them; they have a reason at once, and a worker that knows them
// takes them at once.
//
// Proves: RELIABILITY 36
func TestServe_UnknownNamesHoldUpNobody(t *testing.T) {
	url := server(t)
	db, err := client(url)
	require.NoError(t, err)
	defer db.Close()
	task, other := sumTask(""), glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "shop.Other", Func: "Other"}, nil)
	producer := runtime.New(open(t, url, redis.Config{}), runtime.Config{Logger: testLog(t)})
	var b runtime.Batch
	var others []*runtime.Handle[runtime.Void]
	for range 3000 {
		others = append(others, runtime.AddTo(&b, other.Call(nil, nil)))
	}
	require.NoError(t, b.Enqueue(t.Context(), producer))
	ahead := time.Now().Add(time.Hour).UnixNano()
	for _, h := range others[:500] {
		require.NoError(t, db.HSet(t.Context(), "asynq:{default}:t:"+h.ID().String(), "pending_since", ahead).Err())
	}
	app := newApp(t, url, runtime.Config{}, task, func(_ *runtime.Context, x *sumArgs) (int, error) { return x.a + x.b, nil })
	require.NoError(t, app.Start(t.Context()))
	h, err := sumCall(task, 1, 2).Enqueue(t.Context(), app)
	require.NoError(t, err)
	began := time.Now()
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	assert.Less(t, time.Since(began), 4*time.Second, "a known task behind 3,000 unknown ones")
	r, err := others[0].Record(t.Context())
	require.NoError(t, err)
	assert.Equal(t, engine.StatePending, r.State)
	assert.Contains(t, r.Reason, "shop.Other")
	counts, err := app.Counts(t.Context())
	require.NoError(t, err)
	assert.Contains(t, ageless(counts), engine.Count{Queue: "default", State: engine.StatePending, Tasks: 3000})

	knows := runtime.New(open(t, url, redis.Config{}), runtime.Config{Logger: testLog(t), Workers: 50})
	glue.Register(knows, other, func(*runtime.Context, *struct{}) (runtime.Void, error) { return runtime.Void{}, nil })
	require.NoError(t, knows.Start(t.Context()))
	began = time.Now()
	for _, h := range others {
		_, err := h.Wait(t.Context())
		require.NoError(t, err)
	}
	t.Logf("3,000 parked tasks were run in %v by a worker that knows them", time.Since(began))
	require.NoError(t, knows.Stop(context.Background()))
	n, err := db.Exists(t.Context(), "asynq:{default}:taskctx:parked").Result()
	require.NoError(t, err)
	assert.Zero(t, n, "nothing stays of tasks that were parked")
}
