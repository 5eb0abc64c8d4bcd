package redis_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

// TestOpen_WithoutChannels: a user who may not publish is refused, with the way out.
// Where the right is taken later, what is enqueued is stored, without an error.
//
// Proves: RELIABILITY 34
func TestOpen_WithoutChannels(t *testing.T) {
	s := servertest.NewRedis(t)
	admin, err := client(s.URL + "0")
	require.NoError(t, err)
	defer admin.Close()
	acl := func(rules ...any) {
		require.NoError(t, admin.Do(t.Context(), append([]any{"ACL", "SETUSER", "app"}, rules...)...).Err())
	}
	acl("reset", "on", ">pw", "~*", "+@all", "resetchannels")
	url := strings.Replace(s.URL+"0", "redis://", "redis://app:pw@", 1)
	_, err = redis.Open(t.Context(), url, redis.Config{Logger: quiet})
	require.ErrorContains(t, err, "ACL SETUSER")
	acl("&taskctx:*")
	app := runtime.New(open(t, url, redis.Config{}), runtime.Config{Logger: testLog(t)})
	acl("resetchannels")
	h, err := sumCall(sumTask(""), 1, 2).Enqueue(t.Context(), app)
	require.NoError(t, err)
	_, err = h.Record(t.Context())
	require.NoError(t, err)
}

// TestEnqueue_FullServer: a full server refuses tasks with a typed error and stores
// nothing; what runs ends, and what waits is listed, cancelled and deleted.
func TestEnqueue_FullServer(t *testing.T) {
	s := servertest.NewRedis(t)
	url := s.URL + "0"
	db, err := client(url)
	require.NoError(t, err)
	defer db.Close()
	task := sumTask("")
	release := make(chan struct{})
	app := newApp(t, url, runtime.Config{Workers: 2}, task, func(_ *runtime.Context, x *sumArgs) (int, error) {
		<-release
		return x.a + x.b, nil
	})
	require.NoError(t, app.Start(t.Context()))
	var hs []*runtime.Handle[int]
	for i := range 4 {
		h, err := sumCall(task, i, 1).Enqueue(t.Context(), app)
		require.NoError(t, err)
		hs = append(hs, h)
	}
	waits, err := sumCall(task, 9, 9, runtime.WithDelay(time.Hour)).Enqueue(t.Context(), app)
	require.NoError(t, err)
	require.NoError(t, db.ConfigSet(t.Context(), "maxmemory", "1").Err())
	_, err = sumCall(task, 1, 1).Enqueue(t.Context(), app)
	require.ErrorIs(t, err, engine.ErrQueueFull)
	close(release)
	for _, h := range hs {
		_, err := h.Wait(t.Context())
		require.NoError(t, err)
	}
	rs, _, err := app.List(t.Context(), engine.Query{})
	require.NoError(t, err)
	assert.Len(t, rs, 5)
	require.NoError(t, app.Cancel(t.Context(), waits.ID(), "full"))
	require.NoError(t, app.Delete(t.Context(), waits.ID()))
	require.NoError(t, db.ConfigSet(t.Context(), "maxmemory", "0").Err())
	_, err = sumCall(task, 1, 1).Enqueue(t.Context(), app)
	require.NoError(t, err)
}

// TestEnqueue_LostAnswer: with an error that is not an UncertainError nothing was
// stored; a task whose answer was lost is found by the id in it.
//
// Proves: RELIABILITY 27
func TestEnqueue_LostAnswer(t *testing.T) {
	url := server(t)
	for name, tc := range map[string]struct {
		options string
		opts    []runtime.Option
		stored  bool
	}{
		"sent again":             {"", nil, true},
		"sent again, with a key": {"", []runtime.Option{runtime.WithKey("k", time.Hour)}, true},
		"not sent again":         {"?max_retries=-1", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := servertest.NewProxy(t, url)
			e := open(t, p.URL+tc.options, redis.Config{})
			app := runtime.New(e, runtime.Config{Logger: testLog(t)})
			queue := newQueue()
			task := sumTask(queue)
			_, err := sumCall(task, 1, 1).Enqueue(t.Context(), app)
			require.NoError(t, err)
			p.Cut(1, false)
			h, err := sumCall(task, 2, 2, tc.opts...).Enqueue(t.Context(), app)
			if tc.stored {
				require.NoError(t, err)
				_, err = h.Record(t.Context())
				require.NoError(t, err)
			} else {
				var u *engine.UncertainError
				require.ErrorAs(t, err, &u)
				require.Len(t, u.IDs, 1)
				_, err = app.Lookup(t.Context(), u.IDs[0])
				require.NoError(t, err)
			}
			rs, _, err := app.List(t.Context(), engine.Query{Queue: queue})
			require.NoError(t, err)
			assert.Len(t, rs, 2)
		})
	}
	t.Run("the server is away", func(t *testing.T) {
		s := servertest.NewRedis(t)
		app := runtime.New(open(t, s.URL+"0", redis.Config{}), runtime.Config{Logger: testLog(t)})
		_, err := sumCall(sumTask(""), 1, 1).Enqueue(t.Context(), app)
		require.NoError(t, err)
		s.Stop(t)
		_, err = sumCall(sumTask(""), 1, 1).Enqueue(t.Context(), app) // may find the old connection
		require.Error(t, err)
		_, err = sumCall(sumTask(""), 1, 1).Enqueue(t.Context(), app)
		require.Error(t, err)
		assert.False(t, errors.As(err, new(*engine.UncertainError)), "nothing was sent: %v", err)
	})
}

// TestEngine_SilentConnections: connections that die without a word are left within
// one timeout of the client, and a caller without a deadline does not hold up others.
//
// Proves: RELIABILITY 25
func TestEngine_SilentConnections(t *testing.T) {
	slow(t)
	url := server(t)
	p := servertest.NewProxy(t, url)
	task := sumTask("")
	app := newApp(t, p.URL, runtime.Config{Workers: 4}, task, func(_ *runtime.Context, x *sumArgs) (int, error) { return x.a + x.b, nil })
	require.NoError(t, app.Start(t.Context()))
	for range 20 {
		h, err := sumCall(task, 1, 1).Enqueue(t.Context(), app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err)
	}
	p.Deafen()
	began := time.Now()
	alone := make(chan error, 1)
	go func() {
		_, err := sumCall(task, 2, 2).Enqueue(context.Background(), app)
		alone <- err
	}()
	var h *runtime.Handle[int]
	eventually(t, "a caller with a deadline enqueues", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var err error
		h, err = sumCall(task, 3, 3).Enqueue(ctx, app)
		return err == nil
	})
	_, err := h.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, <-alone)
	assert.Less(t, time.Since(began), 10*time.Second)
	t.Logf("after %v all goes on", time.Since(began))
}

// TestGet_AsksOneQueue: a task is found without a question for each queue.
//
// Proves: RELIABILITY 32
func TestGet_AsksOneQueue(t *testing.T) {
	s := servertest.NewRedis(t)
	db, err := client(s.URL + "0")
	require.NoError(t, err)
	defer db.Close()
	producer := runtime.New(open(t, s.URL+"0", redis.Config{}), runtime.Config{Logger: testLog(t)})
	var b runtime.Batch
	var hs []*runtime.Handle[int]
	for i := range 1000 {
		hs = append(hs, runtime.AddTo(&b, sumCall(sumTask("tenant-"+strconv.Itoa(i)), i, 1)))
	}
	require.NoError(t, b.Enqueue(t.Context(), producer))
	app := runtime.New(open(t, s.URL+"0", redis.Config{}), runtime.Config{Logger: testLog(t)})
	_, err = app.Lookup(t.Context(), hs[0].ID()) // it reads which queues there are
	require.NoError(t, err)
	require.NoError(t, db.ConfigResetStat(t.Context()).Err())
	for _, h := range hs {
		r, err := app.Lookup(t.Context(), h.ID())
		require.NoError(t, err)
		require.Equal(t, h.ID(), r.ID)
	}
	stats, err := db.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	_, rest, _ := strings.Cut(stats, "cmdstat_hmget:calls=")
	calls, err := strconv.Atoi(rest[:strings.IndexByte(rest, ',')])
	require.NoError(t, err)
	assert.Less(t, calls, 6*len(hs), "%d tasks in as many queues", len(hs))
}

// TestList_ManyTasks: beyond what is sorted, pages are bounded, and each task that
// stays is listed once, while others leave the queue where the listing begins.
func TestList_ManyTasks(t *testing.T) {
	slow(t)
	url := server(t)
	db, err := client(url)
	require.NoError(t, err)
	defer db.Close()
	e := open(t, url, redis.Config{})
	app := runtime.New(e, runtime.Config{Logger: testLog(t)})
	const many = 10_600
	var b runtime.Batch
	var hs []*runtime.Handle[int]
	for i := range many {
		opts := []runtime.Option{}
		if i%2 == 1 {
			opts = append(opts, runtime.WithDelay(time.Hour))
		}
		hs = append(hs, runtime.AddTo(&b, sumCall(sumTask(""), i, 1, opts...)))
	}
	require.NoError(t, b.Enqueue(t.Context(), app))
	for i := range 6 * 2000 { // so that what is pending alone is more than is sorted
		if i%4000 == 0 {
			b = runtime.Batch{}
		}
		runtime.AddTo(&b, sumCall(sumTask("other"), i, 1))
		if i%4000 == 3999 {
			require.NoError(t, b.Enqueue(t.Context(), app))
		}
	}
	seen := make(map[string]int)
	q := engine.Query{Limit: 1000, Name: "shop.Sum"}
	for page := 0; ; page++ {
		es, next, err := e.List(t.Context(), q)
		require.NoError(t, err)
		require.LessOrEqual(t, len(es), q.Limit)
		for _, en := range es {
			seen[en.ID.String()]++
		}
		if page < 3 { // workers take tasks that were listed, and one is cancelled
			require.NoError(t, db.RPopCount(t.Context(), "asynq:{default}:pending", 50).Err())
			require.NoError(t, e.Cancel(t.Context(), es[len(es)-1].ID, ""))
		}
		if q.Cursor = next; next == "" {
			break
		}
		require.Less(t, page, 1000)
	}
	for _, h := range hs {
		assert.Equal(t, 1, seen[h.ID().String()])
	}
	assert.Len(t, seen, many+12_000)
	es, _, err := e.List(t.Context(), engine.Query{Name: "none"})
	require.NoError(t, err)
	assert.Empty(t, es)
}

// TestCancel_InALongQueue: a task in a queue of more than 10,000 is cancelled without
// a search for it, is not run, and is counted as cancelled; retried, it runs once.
func TestCancel_InALongQueue(t *testing.T) {
	slow(t)
	url := server(t)
	db, err := client(url)
	require.NoError(t, err)
	defer db.Close()
	task := sumTask("")
	runs := make(chan int, 100)
	app := newApp(t, url, runtime.Config{Workers: 50}, task, func(_ *runtime.Context, x *sumArgs) (int, error) {
		if x.b == 7 {
			runs <- x.a
		}
		return 0, nil
	})
	var b runtime.Batch
	var hs []*runtime.Handle[int]
	for i := range 10_100 {
		kind := 1
		if i >= 5000 && i < 5003 {
			kind = 7
		}
		hs = append(hs, runtime.AddTo(&b, sumCall(task, i, kind)))
	}
	require.NoError(t, b.Enqueue(t.Context(), app))
	cancelled, again, deleted := hs[5000], hs[5001], hs[5002]
	require.NoError(t, app.Cancel(t.Context(), cancelled.ID(), "no"))
	require.NoError(t, app.Cancel(t.Context(), again.ID(), "no"))
	require.NoError(t, app.Delete(t.Context(), deleted.ID()))
	counts, err := app.Counts(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, []engine.Count{
		{Queue: "default", State: engine.StatePending, Tasks: 10_097}, {Queue: "default", State: engine.StateCancelled, Tasks: 2},
	}, ageless(counts))
	require.NoError(t, app.Retry(t.Context(), again.ID()))
	require.NoError(t, app.Start(t.Context()))
	_, err = hs[10_099].Wait(t.Context())
	require.NoError(t, err)
	_, err = again.Wait(t.Context())
	require.NoError(t, err)
	eventually(t, "all have ended", func() bool {
		counts, err = app.Counts(t.Context())
		return err == nil && len(counts) == 2
	})
	assert.ElementsMatch(t, []engine.Count{
		{Queue: "default", State: engine.StateSucceeded, Tasks: 10_098}, {Queue: "default", State: engine.StateCancelled, Tasks: 1},
	}, counts)
	require.Len(t, runs, 1)
	assert.Equal(t, 5001, <-runs)
	assert.Zero(t, db.Exists(t.Context(), "asynq:{default}:taskctx:gone").Val())
}

// ageless are counts without the ages of tasks.
func ageless(counts []engine.Count) []engine.Count {
	for i := range counts {
		counts[i].Oldest = time.Time{}
	}
	return counts
}

// TestList_NewestOfManyTasks: a listing that is not sorted goes backwards, too,
// while tasks come at the end where it began, workers take some at the other, and
// the caller cancels what it was given.
func TestList_NewestOfManyTasks(t *testing.T) {
	slow(t)
	e := open(t, server(t), redis.Config{})
	app := runtime.New(e, runtime.Config{Logger: testLog(t)})
	const many = 12_000
	var b runtime.Batch
	var hs []*runtime.Handle[int]
	for i := range many {
		var opts []runtime.Option
		if i%4 == 3 {
			opts = append(opts, runtime.WithDelay(time.Hour))
		}
		hs = append(hs, runtime.AddTo(&b, sumCall(sumTask(""), i, 1, opts...)))
	}
	require.NoError(t, b.Enqueue(t.Context(), app))
	q := engine.Query{Limit: 1000, Newest: true, States: []engine.State{engine.StatePending}}
	for at := q; ; { // the first page that is not empty: what is scheduled was looked at before
		es, next, err := e.List(t.Context(), at)
		require.NoError(t, err)
		if at.Cursor = next; len(es) > 0 {
			assert.Equal(t, hs[many-2].ID(), es[0].ID, "the newest; the last has a delay")
			break
		}
		require.NotEmpty(t, next)
	}
	seen := make(map[uuid.UUID]int)
	for page := 0; ; page++ {
		es, next, err := e.List(t.Context(), q)
		require.NoError(t, err)
		require.LessOrEqual(t, len(es), q.Limit)
		for _, en := range es {
			seen[en.ID]++
		}
		if page < 3 {
			var more runtime.Batch // at the end where the listing began
			for i := range 300 {
				runtime.AddTo(&more, sumCall(sumTask(""), i, 1))
			}
			require.NoError(t, more.Enqueue(t.Context(), app))
			for _, en := range es[max(len(es)-20, 0):max(len(es)-10, 0)] {
				require.NoError(t, e.Cancel(t.Context(), en.ID, ""))
			}
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	missing, twice, pending := 0, 0, 0
	for i, h := range hs {
		if i%4 == 3 {
			continue
		}
		pending++
		switch seen[h.ID()] {
		case 1:
		case 0:
			missing++
		default:
			twice++
		}
	}
	assert.Zero(t, missing, "of %d tasks that were there all the time", pending)
	assert.Zero(t, twice)
	_, _, err := e.List(t.Context(), engine.Query{Limit: 1000, Cursor: cursorOf(t, e, engine.Query{Limit: 10, Newest: true})})
	assert.ErrorIs(t, err, engine.ErrCursor, "the cursor of a listing that goes the other way")
}

// cursorOf is the cursor of the second page of a query.
func cursorOf(t *testing.T, e engine.Engine, q engine.Query) string {
	t.Helper()
	_, next, err := e.List(t.Context(), q)
	require.NoError(t, err)
	require.NotEmpty(t, next)
	return next
}
