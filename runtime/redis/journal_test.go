package redis_test

import (
	"context"
	"fmt"
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
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/redis"
	"github.com/taskctx/taskctx/runtime/wire"
)

// tools is a parent that waits for ever for its child, which is due in an hour,
// with asynq's tools beside it.
type tools struct {
	t      *testing.T
	url    string
	queue  string
	app    *runtime.App
	parent *glue.Task[sumArgs, int]
	db     *goredis.Client
	ins    *asynq.Inspector
	runs   chan struct{}
}

func newTools(t *testing.T) *tools {
	t.Helper()
	url, _ := servertest.Redis(t)
	db, err := client(url)
	require.NoError(t, err)
	k := &tools{t: t, url: url, queue: newQueue(), db: db, ins: asynq.NewInspector(asynqOpt(t, url)), runs: make(chan struct{}, 100)}
	t.Cleanup(func() {
		_ = db.Close()
		_ = k.ins.Close()
	})
	k.parent = glue.NewTask[sumArgs, int](wire.Spec{
		Name: "shop.Parent", Func: "Parent", Queue: k.queue, Durable: true,
		Params: []wire.Param{{Name: "a", Sig: "int"}, {Name: "b", Sig: "int"}},
	}, (*sumArgs).fields)
	k.app = k.start()
	return k
}

// start starts a worker.
func (k *tools) start() *runtime.App {
	k.t.Helper()
	child := sumTask(k.queue)
	app := runtime.New(open(k.t, k.url, redis.Config{}), runtime.Config{Workers: 2, Logger: testLog(k.t), Queues: []string{k.queue}})
	glue.Register(app, child, func(_ context.Context, x *sumArgs) (int, error) { return x.a + x.b, nil })
	glue.Register(app, k.parent, func(ctx *runtime.Context, x *sumArgs) (int, error) {
		k.runs <- struct{}{}
		return runtime.Spawn(ctx, "child", sumCall(child, x.a, x.b, runtime.WithDelay(time.Hour))).Await(ctx)
	})
	require.NoError(k.t, app.Start(k.t.Context()))
	k.t.Cleanup(func() { assert.NoError(k.t, app.Stop(context.Background())) })
	return app
}

// waiting returns a parent that waits, and its child.
func (k *tools) waiting() (parent *runtime.Handle[int], child uuid.UUID) {
	k.t.Helper()
	h, err := sumCall(k.parent, 1, 2).Enqueue(k.t.Context(), k.app)
	require.NoError(k.t, err)
	k.waits(h)
	js, err := k.app.Journal(k.t.Context(), h.ID())
	require.NoError(k.t, err)
	require.Len(k.t, js, 1)
	return h, js[0].Child
}

// waits waits for the next run of a parent, and for its end.
func (k *tools) waits(h *runtime.Handle[int]) {
	k.t.Helper()
	<-k.runs
	eventually(k.t, "the parent waits", func() bool {
		r, err := h.Record(k.t.Context())
		return err == nil && r.State == engine.StateWaiting
	})
}

// look makes the time come at which all journals are looked at.
func (k *tools) look() {
	k.t.Helper()
	require.NoError(k.t, k.db.Del(k.t.Context(), fmt.Sprintf("asynq:{%s}:taskctx:looked", k.queue)).Err())
	k.start()
}

// TestJournal_AsynqTools: what asynq's tools show of a suspended task, and do to it
// and to its children.
func TestJournal_AsynqTools(t *testing.T) {
	k := newTools(t)

	h, child := k.waiting()
	info, err := k.ins.GetTaskInfo(k.queue, h.ID().String())
	require.NoError(t, err)
	assert.Equal(t, asynq.TaskStateScheduled, info.State, "a task that waits is scheduled")
	assert.Equal(t, 2200, info.NextProcessAt.UTC().Year(), "for ever")
	require.NoError(t, k.ins.RunTask(k.queue, h.ID().String()))
	k.waits(h) // it waits again
	require.NoError(t, k.ins.RunTask(k.queue, child.String()))
	sum, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, sum, "the child was run by a tool")
	<-k.runs

	archived, child := k.waiting()
	require.NoError(t, k.ins.ArchiveTask(k.queue, child.String()))
	deleted, child := k.waiting()
	require.NoError(t, k.ins.DeleteTask(k.queue, child.String()))
	ended, orphan := k.waiting()
	require.NoError(t, k.ins.ArchiveTask(k.queue, ended.ID().String()))
	gone, _ := k.waiting()
	require.NoError(t, k.ins.DeleteTask(k.queue, gone.ID().String()))
	k.look()
	_, err = archived.Wait(t.Context())
	require.ErrorContains(t, err, "failed", "its child was archived")
	_, err = deleted.Wait(t.Context())
	require.ErrorContains(t, err, engine.ReasonDeleted)
	eventually(t, "the child of an archived parent is cancelled", func() bool {
		r, err := k.app.Lookup(t.Context(), orphan)
		return err == nil && r.State == engine.StateCancelled
	})
	require.NoError(t, k.ins.RunTask(k.queue, archived.ID().String())) // retried by a tool: with another child
	k.waits(archived)
	js, err := k.app.Journal(t.Context(), archived.ID())
	require.NoError(t, err)
	require.Len(t, js, 1)
	assert.Zero(t, js[0].Came)
	require.NoError(t, k.ins.RunTask(k.queue, js[0].Child.String()))
	sum, err = archived.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, sum)
	eventually(t, "the journal of a deleted parent is gone", func() bool {
		n, err := k.db.Exists(t.Context(), fmt.Sprintf("asynq:{%s}:t:%s:journal", k.queue, gone.ID())).Result()
		return err == nil && n == 0
	})
}

// TestJournal_GoneWithTheRecord: nothing of a journal is left when the records of
// parents and children are forgotten.
func TestJournal_GoneWithTheRecord(t *testing.T) {
	k := newTools(t)
	h, child := k.waiting()
	require.NoError(t, k.app.Cancel(t.Context(), h.ID(), "no"))
	eventually(t, "the child is cancelled", func() bool {
		r, err := k.app.Lookup(t.Context(), child)
		return err == nil && r.State == engine.StateCancelled
	})
	require.NoError(t, k.app.Delete(t.Context(), h.ID()))
	require.NoError(t, k.app.Delete(t.Context(), child))
	var left []string
	for _, name := range []string{"waits", "journals", "bereft"} {
		n, err := k.db.Exists(t.Context(), fmt.Sprintf("asynq:{%s}:taskctx:%s", k.queue, name)).Result()
		require.NoError(t, err)
		if n > 0 {
			left = append(left, name)
		}
	}
	tasks, err := k.db.Keys(t.Context(), fmt.Sprintf("asynq:{%s}:t:*", k.queue)).Result()
	require.NoError(t, err)
	assert.Empty(t, append(left, tasks...))
}
