package redis_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
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
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

// held is a run that waits for its outcome.
type held struct {
	d       *engine.Delivery
	outcome chan engine.Outcome
}

func (h held) succeed() { h.outcome <- engine.Outcome{Kind: engine.OutcomeSucceed} }

// keyed enqueues tasks of one key with limit 1 in queues of the test's own, of which a
// worker serves one and hands its runs over.
type keyed struct {
	*testing.T
	e             *redis.Engine
	served, other string
	key           string
	runs          chan held
	ins           *asynq.Inspector
}

func newKeyed(t *testing.T) *keyed {
	url := server(t)
	b := &keyed{T: t, e: open(t, url, redis.Config{Lease: time.Second}), served: newQueue(), other: newQueue(), key: uuid.NewString(),
		runs: make(chan held, 10), ins: asynq.NewInspector(asynqOpt(t, url))}
	t.Cleanup(func() { _ = b.ins.Close() })
	ctx, stop := context.WithCancel(context.Background())
	done, left := make(chan error, 1), make(chan struct{})
	go func() {
		done <- b.e.Serve(ctx, &engine.Worker{
			ID: uuid.NewString(), Slots: 5, Queues: []string{b.served}, Names: []string{"limited"}, ParkFor: time.Hour,
			Abandon: make(chan struct{}), Now: time.Now,
			Run: func(_ context.Context, d *engine.Delivery) engine.Outcome {
				h := held{d, make(chan engine.Outcome, 1)}
				b.runs <- h
				select {
				case o := <-h.outcome:
					return o
				case <-left:
					return engine.Outcome{Kind: engine.OutcomeRelease}
				}
			},
		})
	}()
	t.Cleanup(func() {
		close(left)
		stop()
		assert.NoError(t, <-done)
	})
	return b
}

func (b *keyed) insert(queue string) uuid.UUID {
	b.Helper()
	m := &engine.Message{Name: "limited", Queue: queue, Args: []byte("{}"), Keep: time.Hour, Limits: []engine.Limit{{Rule: b.key, Key: b.key, Most: 1}}}
	m.Meta.Version, m.Meta.ID, m.Meta.EnqueuedAt = engine.WireLimited, uuid.Must(uuid.NewV7()), time.Now().UTC()
	ins, err := b.e.Insert(b.Context(), []*engine.Message{m})
	require.NoError(b, err)
	return ins[0].ID
}

func (b *keyed) next(id uuid.UUID) held {
	b.Helper()
	select {
	case h := <-b.runs:
		require.Equal(b, id, h.d.Message.Meta.ID)
		return h
	case <-time.After(30 * time.Second):
		b.Fatal("no task was run, although there is a place")
		return held{}
	}
}

func (b *keyed) none(why string) {
	b.Helper()
	select {
	case h := <-b.runs:
		b.Fatalf("task %s was run: %s", h.d.Message.Meta.ID, why)
	case <-time.After(300 * time.Millisecond):
	}
}

// state returns the state of a task, and its reason.
func (b *keyed) state(id uuid.UUID) (engine.State, string) {
	b.Helper()
	en, err := b.e.Get(b.Context(), id)
	require.NoError(b, err)
	return en.State, en.Reason
}

// forgotten waits until nothing is known of the key.
func (b *keyed) forgotten() {
	b.Helper()
	require.Eventually(b, func() bool {
		counts, err := b.e.Limits(b.Context())
		for _, c := range counts {
			if c.Rule == b.key {
				return false
			}
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
}

// TestLimit_PausedQueueHoldsNoPlace: tasks of a paused queue keep nobody else from the
// key, whether they are enqueued or let in before or after the pause.
func TestLimit_PausedQueueHoldsNoPlace(t *testing.T) {
	b := newKeyed(t)
	first := b.insert(b.other) // it holds the place, and nobody serves its queue
	second := b.insert(b.served)
	third := b.insert(b.other)
	b.none("the place is held")
	require.NoError(t, b.e.Pause(t.Context(), engine.Pause{Queue: b.other}))
	h := b.next(second)
	fourth := b.insert(b.other)
	fifth := b.insert(b.served)
	h.succeed()
	b.next(fifth).succeed()
	for _, id := range []uuid.UUID{first, third, fourth} {
		state, _ := b.state(id)
		assert.Equal(t, engine.StatePending, state)
	}
	require.NoError(t, b.e.Resume(t.Context(), engine.Pause{Queue: b.other}))
	for _, id := range []uuid.UUID{first, third, fourth} {
		require.NoError(t, b.e.Delete(t.Context(), id))
	}
	b.forgotten()
}

// TestLimit_AsynqsToolsMoveTasks: a place is free again, at the latest after a scan, when
// asynq's tools delete or archive the task that has it; one that they run waits for its
// place, and what waits can be deleted.
func TestLimit_AsynqsToolsMoveTasks(t *testing.T) {
	b := newKeyed(t)
	deleted, next := b.insert(b.other), b.insert(b.served)
	b.none("the place is held")
	info, err := b.ins.GetTaskInfo(b.other, deleted.String())
	require.NoError(t, err)
	assert.Equal(t, asynq.TaskStateScheduled, info.State, "no server of asynq runs it regardless of the limit")
	require.NoError(t, b.ins.DeleteTask(b.other, deleted.String()))
	h := b.next(next)

	gone, run, archived, last := b.insert(b.served), b.insert(b.served), b.insert(b.served), b.insert(b.served)
	require.NoError(t, b.ins.DeleteTask(b.served, gone.String()))
	require.NoError(t, b.ins.RunTask(b.served, run.String()))
	require.NoError(t, b.ins.ArchiveTask(b.served, archived.String()))
	b.none("the place is held, whatever asynq's tools say")
	require.Eventually(t, func() bool { // a worker looks at it first
		state, reason := b.state(run)
		return state == engine.StatePending && reason == "waits for "+b.key
	}, 20*time.Second, 20*time.Millisecond)
	h.succeed()
	h = b.next(run)
	h.succeed()
	b.next(last).succeed()
	require.NoError(t, b.e.Retry(t.Context(), archived))
	b.next(archived).succeed()
	b.forgotten()

	holder := b.insert(b.other)
	next = b.insert(b.served)
	b.none("the place is held")
	require.NoError(t, b.ins.ArchiveTask(b.other, holder.String()))
	b.next(next).succeed()
	b.forgotten()
}

// TestLimit_CountsOfStates: Counts has tasks with limits as pending, and as retrying
// what has run before, whether they wait or are ready.
func TestLimit_CountsOfStates(t *testing.T) {
	b := newKeyed(t)
	for range 3 {
		b.insert(b.other)
	}
	count := func(queue string) map[engine.State]int64 {
		of := make(map[engine.State]int64)
		counts, err := b.e.Counts(t.Context())
		require.NoError(t, err)
		for _, c := range counts {
			if c.Queue == queue {
				of[c.State] += c.Tasks
			}
		}
		return of
	}
	assert.Equal(t, map[engine.State]int64{engine.StatePending: 3}, count(b.other))
	require.NoError(t, b.e.Pause(t.Context(), engine.Pause{Queue: b.other}))
	first, second := b.insert(b.served), b.insert(b.served)
	h := b.next(first)
	b.key = uuid.NewString()
	blocked := b.insert(b.served)
	b.next(blocked)
	h.outcome <- engine.Outcome{Kind: engine.OutcomeRetry, Reason: "again", After: 50 * time.Millisecond}
	b.next(second)
	require.Eventually(t, func() bool {
		of := count(b.served)
		return of[engine.StateRunning] == 2 && of[engine.StateRetrying] == 1 && len(of) == 2
	}, 20*time.Second, 20*time.Millisecond)
	list := func(state engine.State) (ids []uuid.UUID) {
		es, _, err := b.e.List(t.Context(), engine.Query{Queue: b.served, States: []engine.State{state}})
		require.NoError(t, err)
		for _, en := range es {
			ids = append(ids, en.ID)
		}
		return ids
	}
	require.Eventually(t, func() bool { _, reason := b.state(first); return reason != "again" }, time.Minute, 20*time.Millisecond)
	assert.Equal(t, []uuid.UUID{first}, list(engine.StateRetrying))
	assert.Empty(t, list(engine.StatePending))
	assert.Empty(t, list(engine.StateScheduled))
}

// TestLimit_EndAndClaimAreOneRequest: who ends a task with a limit claims the one that it
// lets in with the same request, and wakes no other worker for that.
func TestLimit_EndAndClaimAreOneRequest(t *testing.T) {
	const workers, tasks, keys = 3, 300, 20
	url := servertest.NewRedis(t).URL + "0" // alone
	e := open(t, url, redis.Config{Lease: time.Minute, PollInterval: time.Minute})
	db, err := client(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	queue, ended := newQueue(), make(chan struct{}, tasks)
	ms := make([]*engine.Message, tasks)
	for i := range ms {
		key := fmt.Sprint("key ", i%keys)
		ms[i] = &engine.Message{Name: "limited", Queue: queue, Args: []byte("{}"), Keep: time.Hour, Limits: []engine.Limit{{Rule: key, Key: key, Most: 1}}}
		ms[i].Meta.Version, ms[i].Meta.ID, ms[i].Meta.EnqueuedAt = engine.WireLimited, uuid.Must(uuid.NewV7()), time.Now().UTC()
	}
	_, err = e.Insert(t.Context(), ms)
	require.NoError(t, err)
	require.NoError(t, db.ConfigResetStat(t.Context()).Err())
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			assert.NoError(t, e.Serve(ctx, &engine.Worker{
				ID: uuid.NewString(), Slots: 5, Queues: []string{queue}, Names: []string{"limited"}, ParkFor: time.Hour,
				Abandon: make(chan struct{}), Now: time.Now,
				Run: func(context.Context, *engine.Delivery) engine.Outcome {
					time.Sleep(time.Millisecond) // so that workers are busy at different times
					ended <- struct{}{}
					return engine.Outcome{Kind: engine.OutcomeSucceed}
				},
			}))
		})
	}
	for range tasks {
		<-ended
	}
	stop()
	all.Wait()
	requests, told := calls(t, db, "evalsha"), calls(t, db, "publish")
	t.Logf("%d tasks: %d requests, %d messages", tasks, requests, told)
	assert.Less(t, requests, tasks*5/4, "ends, with the next claims")
	assert.Less(t, told, tasks*5/4, "each end is told, and hardly anything else")
}

// calls returns how often a command was called.
func calls(t *testing.T, db *goredis.Client, command string) int {
	t.Helper()
	stats, err := db.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	_, rest, _ := strings.Cut(stats, "cmdstat_"+command+":calls=")
	digits, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(digits)
	require.NoError(t, err, stats)
	return n
}

// TestRate_NothingStays: of tasks with rates of their own nothing is known once their runs
// count no more, however many there were.
func TestRate_NothingStays(t *testing.T) {
	const tasks = 7000 // more than a worker looks at in the time of its lease
	url := servertest.NewRedis(t).URL + "0"
	e := open(t, url, redis.Config{Lease: time.Minute})
	db, err := client(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	queue, ended := newQueue(), make(chan struct{}, tasks)
	ms := make([]*engine.Message, tasks)
	for i := range ms {
		key := fmt.Sprint("rate:", i)
		ms[i] = &engine.Message{Name: "rated", Queue: queue, Args: []byte("{}"), Keep: time.Hour, Limits: []engine.Limit{{Rule: key, Key: key, Most: 1, Per: time.Millisecond}}}
		ms[i].Meta.Version, ms[i].Meta.ID, ms[i].Meta.EnqueuedAt = engine.WireRated, uuid.Must(uuid.NewV7()), time.Now().UTC()
	}
	_, err = e.Insert(t.Context(), ms)
	require.NoError(t, err)
	serve := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- e.Serve(ctx, &engine.Worker{
				ID: uuid.NewString(), Slots: 50, Queues: []string{queue}, Names: []string{"rated"}, ParkFor: time.Hour,
				Abandon: make(chan struct{}), Now: time.Now,
				Run: func(context.Context, *engine.Delivery) engine.Outcome {
					ended <- struct{}{}
					return engine.Outcome{Kind: engine.OutcomeSucceed}
				},
			})
		}()
		return func() {
			cancel()
			assert.NoError(t, <-done)
		}
	}
	stop := serve()
	for range tasks {
		<-ended
	}
	stop()
	require.NoError(t, db.Del(t.Context(), "taskctx:limit:looked", "taskctx:limit:at").Err()) // as if the lease were over
	require.NoError(t, db.HSet(t.Context(), "taskctx:limit:rates", "of an older version", 1).Err())
	left := func() []string {
		keys, err := db.Keys(t.Context(), "taskctx:*limit*:*").Result()
		require.NoError(t, err)
		return slices.DeleteFunc(keys, func(k string) bool { return k == "taskctx:limit:at" || k == "taskctx:limit:looked" })
	}
	require.Eventually(t, func() bool { // the runs count for a second more
		keys, err := db.Keys(t.Context(), "taskctx:{limit:*}:starts").Result()
		return err == nil && len(keys) == 0
	}, 20*time.Second, 20*time.Millisecond)
	defer serve()()
	require.Eventually(t, func() bool { return db.ZCard(t.Context(), "taskctx:limit:keys").Val() == 0 }, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, db.Del(t.Context(), "taskctx:limit:looked").Err())
	assert.Equal(t, []string{"taskctx:limit:rates"}, left())
	assert.Equal(t, []string{"of an older version"}, db.HKeys(t.Context(), "taskctx:limit:rates").Val())
}
