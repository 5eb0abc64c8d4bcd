//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// ledger is an app whose tasks add one row each to a table of its own, in a
// transaction that ends with the task.
type ledger struct {
	t    testing.TB
	path string
	e    *sqlite.Engine
	db   *sql.DB
	app  *runtime.App
	task *glue.Task[addArgs, int]
	logs *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newLedger makes the table and the app, which runs fn after the row was added.
func newLedger(t testing.TB, cfg runtime.Config, fn func(ctx *runtime.Context, tx *sql.Tx, a, b int) error) *ledger {
	t.Helper()
	l := &ledger{t: t, path: filepath.Join(t.TempDir(), "app.db"), logs: new(lockedBuffer)}
	l.db = appDB(t, l.path)
	l.db.SetMaxOpenConns(2)
	_, err := l.db.Exec(`CREATE TABLE kinds(n INTEGER PRIMARY KEY); INSERT INTO kinds VALUES (1);
		CREATE TABLE ledger(n INTEGER, kind INTEGER REFERENCES kinds(n) DEFERRABLE INITIALLY DEFERRED)`)
	require.NoError(t, err)
	l.e = open(t, l.path, sqlite.Config{Beside: true, Lease: testLease, PollInterval: 5 * time.Millisecond, Logger: discard})
	l.app = l.newApp(l.e, cfg, fn)
	return l
}

func (l *ledger) newApp(
	e engine.Engine, cfg runtime.Config, fn func(ctx *runtime.Context, tx *sql.Tx, a, b int) error,
) *runtime.App {
	if cfg.Workers == 0 {
		cfg.Workers = 2
	}
	cfg.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(l.logs), nil))
	app := runtime.New(e, cfg)
	l.task = newAddTask("ledger.Add")
	glue.Register(app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		tx, err := l.begin(ctx, l.db)
		if err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO ledger VALUES (?, 1)", x.a); err != nil {
			return 0, err
		}
		return x.a + x.b, fn(ctx, tx, x.a, x.b)
	})
	return app
}

// begin is what taskgen makes of a provider of a transaction.
func (l *ledger) begin(ctx *runtime.Context, db *sql.DB) (*sql.Tx, error) {
	key := runtime.NewKey[*sql.Tx]("tx", runtime.PerTask, nil)
	return key.Provide(ctx, func(context.Context) (*sql.Tx, func(error) error, error) {
		tx, err := db.BeginTx(ctx, nil)
		return tx, runtime.Commit(ctx, tx), err
	})
}

// after runs done when the transaction has ended, if it is called before begin.
func after(ctx *runtime.Context, done func(error) error) error {
	_, err := runtime.NewKey[int]("after", runtime.PerTask, nil).Provide(ctx,
		func(context.Context) (int, func(error) error, error) { return 0, done, nil })
	return err
}

func (l *ledger) start() {
	l.t.Helper()
	require.NoError(l.t, l.app.Start(l.t.Context()))
	l.t.Cleanup(func() { assert.NoError(l.t, l.app.Stop(context.Background())) })
}

func (l *ledger) enqueue(q runtime.Enqueuer, a, b int, opts ...runtime.Option) (*runtime.Handle[int], error) {
	return add(l.task, a, b, opts...).Enqueue(l.t.Context(), q)
}

// rows is how often each number is in the ledger.
func (l *ledger) rows() map[int]int {
	l.t.Helper()
	rs, err := l.db.Query("SELECT n, count(*) FROM ledger GROUP BY n")
	require.NoError(l.t, err)
	defer rs.Close()
	m := make(map[int]int)
	for rs.Next() {
		var n, c int
		require.NoError(l.t, rs.Scan(&n, &c))
		m[n] = c
	}
	require.NoError(l.t, rs.Err())
	return m
}

func (l *ledger) record(h *runtime.Handle[int]) *runtime.Record {
	l.t.Helper()
	r, err := h.Record(l.t.Context())
	require.NoError(l.t, err)
	return r
}
