package memory_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// TestList_LooksAtABoundedNumberOfTasks: a filter that selects little returns a
// short page and a cursor, and goes on from there.
func TestList_LooksAtABoundedNumberOfTasks(t *testing.T) {
	const n = 60_000
	e := memory.New(memory.Config{})
	var ms []*engine.Message
	for i := range n {
		m := message("task", dueIn(time.Hour))
		if i == n-1 {
			m.Meta.Tags = map[string]string{"rare": "yes"}
		}
		ms = append(ms, m)
	}
	_, err := e.Insert(t.Context(), ms)
	require.NoError(t, err)
	entries, next, err := e.List(t.Context(), engine.Query{Tag: "rare"})
	require.NoError(t, err)
	assert.Empty(t, entries, "the task is behind more than are looked at")
	assert.NotEmpty(t, next)
	found := listAll(t, e, engine.Query{Tag: "rare"})
	require.Len(t, found, 1)
	assert.Equal(t, ms[n-1].Meta.ID, found[0].ID)
}

// TestCounts_OfWhatIsDueOrForgottenWhileNobodyServes: exact, although nothing
// but Counts looks at the clock.
func TestCounts_OfWhatIsDueOrForgottenWhileNobodyServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{KeepFor: 10 * time.Minute})
		run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
			kind := engine.OutcomeSucceed
			if d.Message.Meta.ID[15]%2 == 0 {
				kind = engine.OutcomeFail
			}
			return engine.Outcome{Kind: kind}
		}
		stop := serve(t, e, worker(2, run, "task"))
		even := 0
		for range 3000 {
			m := message("task", func(m *engine.Message) { m.KeepFailed = time.Minute })
			if put(t, e, m)[15]%2 == 0 {
				even++
			}
		}
		synctest.Wait()
		require.NoError(t, stop())
		for range 2000 {
			put(t, e, message("task", dueIn(2*time.Minute)))
		}
		count := func() map[engine.State]int64 {
			counts, err := e.Counts(t.Context())
			require.NoError(t, err)
			by := make(map[engine.State]int64)
			for _, c := range counts {
				require.False(t, c.Estimated)
				by[c.State] = c.Tasks
			}
			return by
		}
		assert.Equal(t, map[engine.State]int64{
			engine.StateSucceeded: int64(3000 - even), engine.StateFailed: int64(even), engine.StateScheduled: 2000,
		}, count())
		time.Sleep(time.Minute)
		assert.Equal(t, map[engine.State]int64{
			engine.StateSucceeded: int64(3000 - even), engine.StateScheduled: 2000,
		}, count())
		time.Sleep(time.Minute)
		assert.Equal(t, map[engine.State]int64{
			engine.StateSucceeded: int64(3000 - even), engine.StatePending: 2000,
		}, count())
		time.Sleep(10 * time.Minute)
		assert.Equal(t, map[engine.State]int64{engine.StatePending: 2000}, count())
	})
}

// TestListAndCounts_AgreeWithWhatWasDone, whatever was enqueued, cancelled,
// retried and deleted.
func TestListAndCounts_AgreeWithWhatWasDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := memory.New(memory.Config{})
		var live []uuid.UUID // in the order of insertion
		state := make(map[uuid.UUID]engine.State)
		for i := range rapid.IntRange(0, 3000).Draw(t, "tasks") {
			m := message(fmt.Sprint("task", i%3))
			m.Queue = fmt.Sprint("q", i%5)
			state[m.Meta.ID] = engine.StatePending
			if i%2 == 0 {
				m.Due, state[m.Meta.ID] = time.Now().Add(time.Hour), engine.StateScheduled
			}
			if _, err := e.InsertOne(context.Background(), m); err != nil {
				t.Fatal(err)
			}
			live = append(live, m.Meta.ID)
		}
		keep := rapid.IntRange(1, 20).Draw(t, "keep")
		ctx, left := context.Background(), live[:0:0]
		for i, id := range live {
			switch {
			case i%20 >= keep:
				require.NoError(t, e.Delete(ctx, id))
				delete(state, id)
				continue
			case i%7 == 0:
				require.NoError(t, e.Cancel(ctx, id, ""))
				if state[id] = engine.StateCancelled; i%2 == 0 {
					require.NoError(t, e.Retry(ctx, id))
					state[id] = engine.StatePending
				}
			}
			left = append(left, id)
		}
		var got []uuid.UUID
		for q := (engine.Query{Limit: 97}); ; {
			entries, next, err := e.List(ctx, q)
			require.NoError(t, err)
			for _, en := range entries {
				require.Equal(t, state[en.ID], en.State)
				got = append(got, en.ID)
			}
			if q.Cursor = next; next == "" {
				break
			}
		}
		require.Equal(t, left, append(left[:0:0], got...))
		want := make(map[engine.State]int64)
		for _, s := range state {
			want[s]++
		}
		counts, err := e.Counts(ctx)
		require.NoError(t, err)
		sum := make(map[engine.State]int64)
		for _, c := range counts {
			sum[c.State] += c.Tasks
		}
		require.Equal(t, want, sum)
	})
}

// TestServe_ManyQueuesCostWhatOneDoes: a worker of thousands of queues finds the
// next task as soon as one of a single queue.
func TestServe_ManyQueuesCostWhatOneDoes(t *testing.T) {
	const tasks = 20_000
	took := func(queues int) (least time.Duration) {
		for range 3 {
			e := memory.New(memory.Config{})
			w := worker(1, nil, "task")
			w.Queues = nil
			for i := range queues {
				w.Queues = append(w.Queues, fmt.Sprint("q", i))
			}
			for i := range tasks {
				put(t, e, message("task", func(m *engine.Message) { m.Queue = w.Queues[i%queues] }))
			}
			ran, done := 0, make(chan struct{})
			w.RunInline = func(_ context.Context, _ *engine.Delivery, o *engine.Outcome) {
				if ran++; ran == tasks {
					close(done)
				}
				o.Kind = engine.OutcomeSucceed
			}
			from := time.Now()
			stop := serve(t, e, w)
			<-done
			if d := time.Since(from); least == 0 || d < least {
				least = d
			}
			require.NoError(t, stop())
		}
		return least
	}
	one, many := took(1), took(5000)
	t.Logf("%d tasks of one queue took %v, of 5,000 queues %v", tasks, one, many)
	assert.Less(t, many, 20*one)
}
