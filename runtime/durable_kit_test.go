package runtime_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// durably makes the unit of a durable task.
func durably(s *wire.Spec) { s.Durable = true }

// tx is what a task-scoped provider opens: it commits when its scope ends without
// an error.
type tx struct {
	log  *txLog
	rows []string
}

// txLog is the database of the transactions.
type txLog struct {
	mu   sync.Mutex
	rows []string
	ends []error
}

func (t *tx) insert(row string) { t.rows = append(t.rows, row) }

func (l *txLog) committed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.rows...)
}

func (l *txLog) ended() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error{}, l.ends...)
}

// txContext is a context type with a transaction.
type txContext struct {
	*runtime.Context
	Tx *tx
}

var txKey = runtime.NewKey[*tx]("tx", runtime.PerTask, nil)

// withTx registers txContext.
func withTx(app *runtime.App) *txLog {
	l := new(txLog)
	glue.RegisterContext(app, func(ctx *runtime.Context) (*txContext, error) {
		t, err := txKey.Provide(ctx, func(context.Context) (*tx, func(error) error, error) {
			t := &tx{log: l}
			return t, func(err error) error {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.ends = append(l.ends, err)
				if err == nil {
					l.rows = append(l.rows, t.rows...)
				}
				return nil
			}, nil
		})
		return &txContext{ctx, t}, err
	})
	return l
}

// handleTx registers a function with a txContext.
func handleTx[T, R any](app *runtime.App, u unitTask[T, R], fn func(ctx *txContext, v T) (R, error)) {
	glue.Register(app, u.task, func(ctx *txContext, a *unit[T]) (R, error) { return fn(ctx, a.v) })
}

// enqueue enqueues a call that must be taken.
func enqueue[R any](t testing.TB, app *runtime.App, c runtime.Call[R]) *runtime.Handle[R] {
	t.Helper()
	h, err := c.Enqueue(context.Background(), app)
	require.NoError(t, err)
	return h
}

// result waits for the end of a task.
func result[R any](t testing.TB, h *runtime.Handle[R]) (R, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return h.Wait(ctx)
}

// reaches waits until the task has the state, and returns its record.
func reaches(t testing.TB, app *runtime.App, id uuid.UUID, want engine.State) *runtime.Record {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r, err := app.Lookup(context.Background(), id)
		require.NoError(t, err)
		if r.State == want {
			return r
		}
		if r.State.Final() || time.Now().After(end) {
			require.Equal(t, want, r.State, "reason %q", r.Reason)
		}
	}
}

// journalOf returns the journal as the engine has it.
func journalOf(t testing.TB, app *runtime.App, id uuid.UUID) []engine.JournalEntry {
	t.Helper()
	j, ok := engine.As[engine.Journaler](app.Engine())
	require.True(t, ok)
	es, err := j.Journal(context.Background(), id)
	require.NoError(t, err)
	return es
}

var approved = runtime.NewSignal[string]("approved")
