package postgres_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// held is a run that waits for its outcome.
type held struct {
	d       *engine.Delivery
	outcome chan engine.Outcome
}

func (h held) succeed() { h.outcome <- engine.Outcome{Kind: engine.OutcomeSucceed} }

// limitedNeighbours are neighbours whose worker hands its runs over.
func limitedNeighbours(t *testing.T) (b *neighbours, runs chan held) {
	b, runs = newNeighbours(t), make(chan held, 10)
	b.serve([]string{"bench.charge"}, func(ctx context.Context, d *engine.Delivery) engine.Outcome {
		h := held{d, make(chan engine.Outcome, 1)}
		runs <- h
		select {
		case o := <-h.outcome:
			return o
		case <-ctx.Done():
			return engine.Outcome{Kind: engine.OutcomeRelease}
		}
	})
	return b, runs
}

func (b *neighbours) limited(key, queue string) uuid.UUID {
	b.Helper()
	m := benchMessage()
	m.Queue, m.Meta.Version = queue, engine.WireLimited
	m.Limits = []engine.Limit{{Rule: "rule", Key: key, Most: 1}}
	in, err := b.e.InsertOne(b.Context(), m)
	require.NoError(b, err)
	return in.ID
}

func (b *neighbours) next(runs chan held) held {
	b.Helper()
	select {
	case h := <-runs:
		return h
	case <-time.After(30 * time.Second):
		b.Fatal("no task was run, although there is a place")
		return held{}
	}
}

func (b *neighbours) none(runs chan held, why string) {
	b.Helper()
	select {
	case h := <-runs:
		b.Fatalf("task %s was run: %s", h.d.Message.Meta.ID, why)
	case <-time.After(300 * time.Millisecond):
	}
}

func jobNumber(id uuid.UUID) int64 { return int64(binary.BigEndian.Uint64(id[8:]) & (1<<62 - 1)) }

// TestLimit_PausedQueueHoldsNoPlace: tasks of a paused queue keep nobody else from the
// key, whether they are enqueued or let in before or after the pause.
func TestLimit_PausedQueueHoldsNoPlace(t *testing.T) {
	b, runs := limitedNeighbours(t)
	first := b.limited("k", "other") // it holds the place, and nobody serves its queue
	second := b.limited("k", "default")
	third := b.limited("k", "other")
	b.none(runs, "the place is held")
	require.NoError(t, b.e.Pause(t.Context(), engine.Pause{Queue: "other"}))
	h := b.next(runs)
	assert.Equal(t, second, h.d.Message.Meta.ID)
	fourth := b.limited("k", "other")
	fifth := b.limited("k", "default")
	h.succeed()
	h = b.next(runs)
	assert.Equal(t, fifth, h.d.Message.Meta.ID)
	h.succeed()
	for _, id := range []uuid.UUID{first, third, fourth} {
		en, err := b.e.Get(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, engine.StatePending, en.State)
	}
}

// TestLimit_RiversToolsEndTasks: a place is free again, at the latest after a scan, when
// River's tools delete or cancel the task that has it; one that they retry waits for
// its turn.
func TestLimit_RiversToolsEndTasks(t *testing.T) {
	b, runs := limitedNeighbours(t)
	deleted, next := b.limited("k", "other"), b.limited("k", "default")
	_, err := b.client.JobDelete(t.Context(), jobNumber(deleted))
	require.NoError(t, err)
	h := b.next(runs)
	assert.Equal(t, next, h.d.Message.Meta.ID)
	aside := b.limited("k", "default")
	retried := b.limited("k", "default")
	_, err = b.client.JobCancel(t.Context(), jobNumber(aside))
	require.NoError(t, err)
	_, err = b.client.JobRetry(t.Context(), jobNumber(retried))
	require.NoError(t, err)
	b.none(runs, "the place is held, whatever River's tools say")
	require.Eventually(t, func() bool { // a worker looks at it first
		en, err := b.e.Get(t.Context(), retried)
		return err == nil && en.Reason == "waits for rule"
	}, 20*time.Second, 20*time.Millisecond)
	h.succeed()
	h = b.next(runs)
	assert.Equal(t, retried, h.d.Message.Meta.ID)
	h.succeed()
	require.Eventually(t, func() bool {
		counts, err := b.e.Limits(t.Context())
		return err == nil && len(counts) == 0
	}, 20*time.Second, 20*time.Millisecond)
}

// TestLimit_WaitingTaskIsPendingToRiver: River's clients and leader
// leave a pending job alone.
func TestLimit_WaitingTaskIsPendingToRiver(t *testing.T) {
	b, runs := limitedNeighbours(t)
	b.limited("k", "default")
	h := b.next(runs)
	id := b.limited("k", "default")
	j, err := b.client.JobGet(t.Context(), jobNumber(id))
	require.NoError(t, err)
	assert.EqualValues(t, "pending", j.State)
	h.succeed()
	b.next(runs).succeed()
}

// TestLimit_RefusedTaskLeavesOthersAlone: a task that the server refuses to let in keeps
// neither the task from ending whose place it would get, nor the others of its key.
func TestLimit_RefusedTaskLeavesOthersAlone(t *testing.T) {
	b, runs := limitedNeighbours(t)
	_, err := b.pool.Exec(t.Context(), strings.ReplaceAll(`
		CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not to be changed'; END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON {s}.river_job FOR EACH ROW WHEN (OLD.queue = 'bad') EXECUTE FUNCTION {s}.refuse()`, "{s}", b.schema))
	require.NoError(t, err)
	first := b.limited("k", "default")
	h := b.next(runs)
	bad, good := b.limited("k", "bad"), b.limited("k", "default")
	h.succeed()
	h = b.next(runs)
	assert.Equal(t, good, h.d.Message.Meta.ID)
	en, err := b.e.Get(t.Context(), first)
	require.NoError(t, err)
	assert.Equal(t, engine.StateSucceeded, en.State)
	h.succeed()
	en, err = b.e.Get(t.Context(), bad)
	require.NoError(t, err)
	assert.Equal(t, engine.StatePending, en.State)
}

// TestLimit_InTransactions: tasks with limits that are enqueued in a transaction of the
// caller's take their places when they are claimed, and one that ends in its own
// lets the next in, at each level of isolation.
func TestLimit_InTransactions(t *testing.T) {
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			app, pool, schema := newApp(t, runtime.Config{Workers: 4}, postgres.Config{PollInterval: 20 * time.Millisecond})
			_, err := pool.Exec(t.Context(), "CREATE TABLE "+schema+".ledger(n int)")
			require.NoError(t, err)
			running := make(chan struct{}, 1)
			glue.Register(app, rowTask, func(ctx *runtime.Context, x *rowArgs) (int, error) {
				select {
				case running <- struct{}{}:
				default:
					t.Error("two of the key run")
				}
				tx, err := beginIn(ctx, func(ctx context.Context) (pgx.Tx, error) {
					return pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
				})
				if err == nil {
					_, err = tx.Exec(ctx, "INSERT INTO "+schema+".ledger VALUES ($1)", x.n)
				}
				<-running
				return x.n, err
			})
			start(t, app)
			tx, err := pool.Begin(t.Context())
			require.NoError(t, err)
			var hs []*runtime.Handle[int]
			for n := range 10 {
				x := rowArgs{n}
				h, err := rowTask.Call(x.fields, []runtime.Option{runtime.WithLimit("k", 1)}).Enqueue(t.Context(), app.In(tx))
				require.NoError(t, err)
				hs = append(hs, h)
			}
			require.NoError(t, tx.Commit(t.Context()))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for n, h := range hs {
				got, err := h.Wait(ctx)
				require.NoError(t, err)
				assert.Equal(t, n, got)
			}
			rows := 0
			require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM "+schema+".ledger").Scan(&rows))
			assert.Equal(t, len(hs), rows)
		})
	}
}

// TestLimit_OrderInATransactionIsRefused: the order of enqueueing needs a lock until
// the transaction's end.
func TestLimit_OrderInATransactionIsRefused(t *testing.T) {
	b := newNeighbours(t)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	in, err := b.e.Join(t.Context(), tx)
	require.NoError(t, err)
	m := benchMessage()
	m.Limits = []engine.Limit{{Rule: "r", Key: "k", Most: 1, Ordered: true}}
	_, err = in.Insert(t.Context(), []*engine.Message{m})
	require.ErrorIs(t, err, engine.ErrUnsupported)
}

// TestLimit_StoredAsText: limits are one text within metadata, and the array of versions
// before is read as well, by claims and by the end of a task that does not run.
func TestLimit_StoredAsText(t *testing.T) {
	b, runs := limitedNeighbours(t)
	first, second := b.limited("k", "other"), b.limited("k", "default")
	third := b.limited("k", "default")
	var texts int
	jobs := b.schema + ".river_job"
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+jobs+
		" WHERE jsonb_typeof(metadata #> '{taskctx,limits}') = 'string'").Scan(&texts))
	assert.Equal(t, 3, texts)
	_, err := b.pool.Exec(t.Context(), "UPDATE "+jobs+
		" SET metadata = jsonb_set(metadata, '{taskctx,limits}', (metadata #>> '{taskctx,limits}')::jsonb)")
	require.NoError(t, err)
	require.NoError(t, b.e.Cancel(t.Context(), first, "enough"))
	h := b.next(runs)
	assert.Equal(t, second, h.d.Message.Meta.ID)
	assert.Equal(t, []engine.Limit{{Rule: "rule", Key: "k", Most: 1}}, h.d.Message.Limits)
	b.none(runs, "the place is held")
	h.succeed()
	h = b.next(runs)
	assert.Equal(t, third, h.d.Message.Meta.ID)
	h.succeed()
	before, err := b.e.Get(t.Context(), third)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), "UPDATE "+jobs+" SET metadata = jsonb_set(metadata, '{taskctx,limits}', 'null')")
	require.NoError(t, err)
	after, err := b.e.Get(t.Context(), third)
	require.NoError(t, err)
	before.Message.Limits = nil
	assert.Equal(t, before.Message, after.Message, "what else is stored is read beside limits that are null")
}

// TestLimit_ManyKeysAtOnce: batches with many keys in any order, enqueued and ended at
// the same time, wait for each other in one order.
func TestLimit_ManyKeysAtOnce(t *testing.T) {
	slow(t)
	app, pool, schema := newApp(t, runtime.Config{Workers: 20}, postgres.Config{})
	start(t, app)
	var before, after int
	deadlocks := "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
	require.NoError(t, pool.QueryRow(t.Context(), deadlocks).Scan(&before))
	done := make(chan error, 4)
	for w := range cap(done) {
		go func() {
			for range 10 {
				var b runtime.Batch
				for i := range 30 {
					n := (i*(7+w) + w) % 30
					runtime.AddTo(&b, echoCall(`1`, runtime.WithLimit(fmt.Sprint("key", n), 2), runtime.WithLimit(fmt.Sprint("all", n%3), 5)))
				}
				if err := b.Enqueue(context.Background(), app); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
	require.Eventually(t, func() bool {
		left := -1
		err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".river_job WHERE state <> 'completed'").Scan(&left)
		return err == nil && left == 0
	}, 2*time.Minute, 50*time.Millisecond)
	require.NoError(t, pool.QueryRow(t.Context(), deadlocks).Scan(&after))
	assert.Equal(t, before, after)
}

// TestLimit_LetInInItsTurn: a task that is let in by the end of another runs when it would
// if it had not waited, also if the worker that lets it in claims it at once: not before
// one without limits that is older, nor after a younger one.
func TestLimit_LetInInItsTurn(t *testing.T) {
	b := newNeighbours(t)
	var order []string
	add := func(name string, most int, edit func(m *engine.Message)) {
		m := benchMessage()
		m.Priority, m.Meta.Tags = 1, map[string]string{name: ""}
		if most > 0 {
			m.Meta.Version, m.Limits = engine.WireLimited, []engine.Limit{{Rule: "rule", Key: "key", Most: most}}
		}
		if edit != nil {
			edit(m)
		}
		_, err := b.e.InsertOne(t.Context(), m)
		require.NoError(t, err)
	}
	for i := range 3 {
		add(fmt.Sprint("limited ", i), 1, nil)
		add(fmt.Sprint("free ", i), 0, nil)
	}
	add("urgent", 1, func(m *engine.Message) { m.Priority = 2 })
	add("elsewhere", 1, func(m *engine.Message) { m.Queue = "elsewhere" })
	add("last", 1, nil)
	add("end", 0, func(m *engine.Message) { m.Priority = 0 })
	done := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- b.e.Serve(ctx, &engine.Worker{
			ID: uuid.NewString(), Slots: 1, Queues: []string{engine.DefaultQueue}, Names: []string{"bench.charge"},
			ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now,
			Run: func(_ context.Context, d *engine.Delivery) engine.Outcome {
				for name := range d.Message.Meta.Tags {
					if order = append(order, name); name == "end" {
						close(done)
					}
				}
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	<-done
	stop()
	require.NoError(t, <-served)
	assert.Equal(t, []string{"limited 0", "urgent", "free 0", "limited 1", "free 1", "limited 2", "free 2", "end"}, order)
	j := b.job(8) // of another queue: it has the place, and may run
	assert.Equal(t, rivertype.JobStateAvailable, j.State)
	assert.NotContains(t, string(j.Metadata), `"limit":`)
}
