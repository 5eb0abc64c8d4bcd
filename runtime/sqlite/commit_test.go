//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
	"github.com/taskctx/taskctx/runtime/wire"
)

// ledger is an app whose tasks add one row each to a table of its own, in a
// transaction that ends with the task.
type ledger struct {
	t    testing.TB
	path string
	e    *sqlite.Engine
	db   *sql.DB
	app  *runtime.App
	task *runtime.Task[addArgs, int]
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
	runtime.Register(app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
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
	return runtime.Provide(ctx, key, func(context.Context) (*sql.Tx, func(error) error, error) {
		tx, err := db.BeginTx(ctx, nil)
		return tx, runtime.Commit(ctx, tx), err
	})
}

// after runs done when the transaction has ended, if it is called before begin.
func after(ctx *runtime.Context, done func(error) error) error {
	_, err := runtime.Provide(ctx, runtime.NewKey[int]("after", runtime.PerTask, nil),
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
	return m
}

func (l *ledger) record(h *runtime.Handle[int]) *runtime.Record {
	l.t.Helper()
	r, err := h.Record(l.t.Context())
	require.NoError(l.t, err)
	return r
}

// TestCommit: what a task writes in its transaction is there once, and only if the
// task has succeeded, with its result and its log.
func TestCommit(t *testing.T) {
	var snoozed atomic.Bool
	l := newLedger(t, runtime.Config{KeepLogs: 5}, func(ctx *runtime.Context, tx *sql.Tx, a, b int) error {
		if ctx.Metadata().Attempt > 0 {
			return nil
		}
		ctx.Logger().Info("first run")
		switch b {
		case 1:
			return errors.New("not yet")
		case 2:
			panic("not yet")
		case 3:
			goruntime.Goexit()
		case 4: // the commit fails
			_, err := tx.Exec("PRAGMA defer_foreign_keys = ON; INSERT INTO ledger VALUES (99, 99)")
			return err
		case 5:
			if !snoozed.Swap(true) {
				return runtime.Snooze(time.Millisecond)
			}
		}
		return nil
	})
	_, err := l.db.Exec("PRAGMA foreign_keys = ON")
	require.NoError(t, err)
	l.db.SetMaxOpenConns(1) // the one on which foreign keys are checked
	l.start()
	want := map[int]int{}
	for b := range 6 {
		h, err := l.enqueue(l.app, b, b)
		require.NoError(t, err)
		sum, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2*b, sum)
		want[b] = 1
		r := l.record(h)
		assert.Equal(t, engine.StateSucceeded, r.State)
		assert.NotEmpty(t, r.Logs, "case %d", b)
		if b >= 1 && b <= 4 {
			assert.Equal(t, 1, r.Attempt, "case %d", b)
		}
	}
	assert.Equal(t, want, l.rows())
}

// TestCommit_LostLease: a worker that stood still for too long cannot commit what
// another one did meanwhile.
//
// Proves: RELIABILITY 37
//
// Proves: FEATURES 102
func TestCommit_LostLease(t *testing.T) {
	began, goOn := make(chan int, 4), make(chan struct{})
	l := newLedger(t, runtime.Config{Workers: 1}, func(ctx *runtime.Context, _ *sql.Tx, a, b int) error { return nil })
	slow := l.newApp(l.e, runtime.Config{Workers: 1}, func(ctx *runtime.Context, _ *sql.Tx, a, b int) error { return nil })
	runtime.Register(slow, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		began <- ctx.Metadata().Attempt
		<-goOn
		tx, err := l.begin(ctx.With(context.WithoutCancel(ctx)), l.db)
		if err != nil {
			return 0, err
		}
		_, err = tx.Exec("INSERT INTO ledger VALUES (?, 1)", x.a)
		return -1, err
	})
	require.NoError(t, slow.Start(t.Context()))
	h, err := l.enqueue(slow, 7, 1)
	require.NoError(t, err)
	<-began
	resume := l.e.Suspend()
	other := open(t, l.path, sqlite.Config{Lease: testLease, Logger: discard})
	fast := l.newApp(other, runtime.Config{Workers: 1}, func(*runtime.Context, *sql.Tx, int, int) error { return nil })
	require.NoError(t, fast.Start(t.Context()))
	require.Eventually(t, func() bool { return l.rows()[7] == 1 }, 20*time.Second, 10*time.Millisecond)
	close(goOn)
	require.Eventually(t, func() bool {
		r, err := fast.Lookup(t.Context(), h.ID())
		return err == nil && r.State.Final()
	}, 20*time.Second, 10*time.Millisecond)
	resume()
	require.NoError(t, slow.Stop(context.Background()))
	require.NoError(t, fast.Stop(context.Background()))
	assert.Equal(t, map[int]int{7: 1}, l.rows())
	r, err := fast.Lookup(t.Context(), h.ID())
	require.NoError(t, err)
	assert.Equal(t, engine.StateSucceeded, r.State)
	assert.JSONEq(t, "8", string(r.Result))
	assert.Equal(t, 1, r.Attempt)
}

// TestCommit_IsFinal: an error of a cleanup that comes after the commit, or of
// middleware, changes nothing and is in the log.
func TestCommit_IsFinal(t *testing.T) {
	var ends atomic.Int64
	cfg := runtime.Config{
		Middleware: []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error {
				err := next(ctx)
				if err == nil && ctx.Metadata().Tags.Get("break") == "middleware" {
					return errors.New("of middleware")
				}
				return err
			}
		}},
		Observers: []runtime.Observer{observer(func(e runtime.Event) {
			if e.Kind == runtime.EventEnd && e.State == engine.StateSucceeded {
				ends.Add(1)
			}
		})},
	}
	l := newLedger(t, cfg, nil)
	runtime.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		if x.b == 1 {
			if err := after(ctx, func(err error) error { return errors.Join(err, errors.New("of a later cleanup")) }); err != nil {
				return 0, err
			}
		}
		if x.b == 2 {
			if err := after(ctx, func(error) error { panic("in a later cleanup") }); err != nil {
				return 0, err
			}
		}
		tx, err := l.begin(ctx, l.db)
		if err != nil {
			return 0, err
		}
		_, err = tx.Exec("INSERT INTO ledger VALUES (?, 1)", x.a)
		return 5, err
	})
	l.start()
	for i, want := range []string{"of middleware", "of a later cleanup", "in a later cleanup"} {
		var opts []runtime.Option
		if i == 0 {
			opts = append(opts, runtime.WithTag("break", "middleware"))
		}
		h, err := l.enqueue(l.app, i, i, opts...)
		require.NoError(t, err)
		v, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 5, v)
		require.Eventually(t, func() bool { return ends.Load() == int64(i+1) }, 5*time.Second, time.Millisecond)
		assert.Contains(t, l.logs.String(), want)
		assert.Contains(t, l.logs.String(), "it has succeeded all the same")
	}
	assert.Equal(t, map[int]int{0: 1, 1: 1, 2: 1}, l.rows())
}

// observer is an Observer.
type observer func(runtime.Event)

func (o observer) Observe(e runtime.Event) { o(e) }

// TestCommit_Two: two transactions on the engine's database are not atomic.
func TestCommit_Two(t *testing.T) {
	l := newLedger(t, runtime.Config{}, nil)
	deferred, err := sql.Open("sqlite", "file:"+l.path)
	require.NoError(t, err)
	defer deferred.Close()
	runtime.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		if _, err := l.begin(ctx, deferred); err != nil { // it only reads: there is one writer
			return 0, err
		}
		tx, err := l.begin(ctx, l.db)
		if err != nil {
			return 0, err
		}
		_, err = tx.Exec("INSERT INTO ledger VALUES (?, 1)", x.a)
		return 0, err
	})
	l.start()
	h, err := l.enqueue(l.app, 1, 1)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.ErrorContains(t, err, "two transactions")
	assert.Equal(t, engine.StateFailed, l.record(h).State)
	assert.Equal(t, 0, l.record(h).Attempt, "it is no use to try again")
	assert.Empty(t, l.rows())
}

// TestCommit_Early: it ends the task, so that it is no use before the task's end.
func TestCommit_Early(t *testing.T) {
	l := newLedger(t, runtime.Config{}, nil)
	runtime.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		tx, err := l.db.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec("INSERT INTO ledger VALUES (?, 1)", x.a); err != nil {
			return 0, err
		}
		return 0, runtime.Commit(ctx, tx)(nil)
	})
	l.start()
	h, err := l.enqueue(l.app, 1, 1)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.ErrorContains(t, err, "use runtime.Transact")
	assert.Empty(t, l.rows())
}

// TestCommit_OtherDatabase: it commits there, and says once what that means.
func TestCommit_OtherDatabase(t *testing.T) {
	other := appDB(t, filepath.Join(t.TempDir(), "other.db"))
	_, err := other.Exec("CREATE TABLE ledger(n INTEGER)")
	require.NoError(t, err)
	l := newLedger(t, runtime.Config{Workers: 1}, nil)
	runtime.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		tx, err := l.begin(ctx, other)
		if err != nil {
			return 0, err
		}
		if _, err = tx.Exec("INSERT INTO ledger VALUES (?)", x.a); err == nil && x.b == 1 && ctx.Metadata().Attempt == 0 {
			err = errors.New("not yet")
		}
		return 0, err
	})
	l.start()
	for i := range 2 {
		h, err := l.enqueue(l.app, i, i)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, other.QueryRow("SELECT count(*) FROM ledger").Scan(&n))
	assert.Equal(t, 2, n)
	assert.Equal(t, 1, bytes.Count([]byte(l.logs.String()), []byte("not on the database of its engine")))
}

// TestCommit_OutsideOfATask: it commits and rolls back as it would by hand.
func TestCommit_OutsideOfATask(t *testing.T) {
	l := newLedger(t, runtime.Config{}, nil)
	for i, cause := range []error{nil, errors.New("failed")} {
		tx, err := l.db.Begin()
		require.NoError(t, err)
		_, err = tx.Exec("INSERT INTO ledger VALUES (?, 1)", i)
		require.NoError(t, err)
		require.NoError(t, runtime.Commit(t.Context(), tx)(cause))
	}
	assert.Equal(t, map[int]int{0: 1}, l.rows())
	var none *sql.Tx
	assert.Error(t, runtime.Commit(t.Context(), none)(nil))
	assert.Error(t, runtime.Commit(t.Context(), nil)(nil))
	assert.Error(t, runtime.Commit(t.Context(), "x")(nil))
}

// TestCommit_Step: what a step writes in its transaction, and what is remembered of
// the step, are there together, and once over all runs.
//
// Proves: FEATURES 103
func TestCommit_Step(t *testing.T) {
	l := newLedger(t, runtime.Config{Workers: 1}, nil)
	task := runtime.NewTask[addArgs, int](runtime.Spec{
		Name: "ledger.Steps", Func: "Steps", Retries: 5, Delay: runtime.NoDelay, Durable: true,
		Params: []wire.Param{{Name: "a", Sig: "int"}, {Name: "b", Sig: "int"}},
	}, (*addArgs).fields)
	tries := map[int]int{}
	together := map[int]bool{}
	runtime.Register(l.app, task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		sum := 0
		for n := range 4 {
			v, err := runtime.Step(ctx, fmt.Sprint("step/", n), func(c *runtime.Context) (int, error) {
				tries[n]++
				if err := after(c, func(err error) error {
					if err != nil {
						return nil
					}
					es, jerr := ctx.App().Journal(context.Background(), ctx.Metadata().TaskID)
					together[n] = jerr == nil && len(es) == n+1 && l.rows()[n] == 1
					if n == 2 {
						return errors.New("of a later cleanup")
					}
					return nil
				}); err != nil {
					return 0, err
				}
				tx, err := l.begin(c, l.db)
				if err != nil {
					return 0, err
				}
				if _, err := tx.Exec("INSERT INTO ledger VALUES (?, 1)", n); err != nil {
					return 0, err
				}
				if n == 1 && tries[n] == 1 {
					return 0, errors.New("not yet")
				}
				return n, nil
			})
			if err != nil {
				return 0, err
			}
			if sum += v; n == 0 && ctx.Metadata().Attempt == 0 {
				return 0, errors.New("after the first step")
			}
		}
		return sum, nil
	})
	l.start()
	h, err := add(task, 1, 1).Enqueue(t.Context(), l.app)
	require.NoError(t, err)
	sum, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 6, sum)
	assert.Equal(t, map[int]int{0: 1, 1: 1, 2: 1, 3: 1}, l.rows())
	assert.Equal(t, map[int]int{0: 1, 1: 2, 2: 1, 3: 1}, tries)
	assert.Equal(t, map[int]bool{0: true, 1: true, 2: true, 3: true}, together)
	assert.Contains(t, l.logs.String(), "of a later cleanup")
}

// TestCommit_Lazy: a transaction that is made at the first use ends the task as one
// that was there from the beginning, also when many ask for it at once; a task that
// does not ask has none, and a step that does has its own.
//
// Proves: FEATURES 105
func TestCommit_Lazy(t *testing.T) {
	l := newLedger(t, runtime.Config{Workers: 1}, nil)
	var begun atomic.Int64
	key := runtime.NewKey[*sql.Tx]("tx", runtime.PerTask, nil)
	provide := func(ctx *runtime.Context) (*sql.Tx, error) { // what taskgen makes of beginTx
		return runtime.Provide(ctx, key, func(context.Context) (*sql.Tx, func(error) error, error) {
			begun.Add(1)
			tx, err := l.db.BeginTx(ctx, nil)
			return tx, runtime.Commit(ctx, tx), err
		})
	}
	lazy := func(ctx *runtime.Context) func() (*sql.Tx, error) { // what it makes of a field
		return func() (*sql.Tx, error) { return runtime.Lazy(ctx, provide) }
	}
	insert := func(tx *sql.Tx, n int) error {
		_, err := tx.Exec("INSERT INTO ledger VALUES (?, 1)", n)
		return err
	}
	late := make(chan func() (*sql.Tx, error), 1)
	runtime.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		begin := lazy(ctx)
		if x.b == 0 {
			late <- begin
			return 0, nil
		}
		txs := make([]*sql.Tx, x.b)
		var wg sync.WaitGroup
		for i := range txs {
			wg.Go(func() { txs[i], _ = begin() })
		}
		wg.Wait()
		for _, tx := range txs {
			if tx == nil || tx != txs[0] {
				return 0, runtime.Permanent(errors.New("not one transaction"))
			}
		}
		if err := insert(txs[0], x.a); err != nil {
			return 0, err
		}
		if ctx.Metadata().Attempt == 0 {
			return 0, errors.New("not yet")
		}
		return x.a, nil
	})
	long := runtime.NewTask[addArgs, int](runtime.Spec{
		Name: "ledger.Long", Func: "Long", Retries: 5, Delay: runtime.NoDelay, Durable: true,
		Params: []wire.Param{{Name: "a", Sig: "int"}, {Name: "b", Sig: "int"}},
	}, (*addArgs).fields)
	runtime.Register(l.app, long, func(ctx *runtime.Context, x *addArgs) (int, error) {
		if _, err := lazy(ctx)(); err == nil || begun.Load() != 0 {
			return 0, runtime.Permanent(errors.New("a transaction outside of a step"))
		}
		return runtime.Step(ctx, "step", func(ctx *runtime.Context) (int, error) {
			tx, err := lazy(ctx)()
			if err != nil {
				return 0, err
			}
			return x.a, insert(tx, x.a)
		})
	})
	l.start()
	for _, c := range []struct{ task, a, b, begun int }{{0, 1, 0, 0}, {0, 2, 1, 2}, {0, 3, 8, 2}, {1, 4, 0, 1}} {
		begun.Store(0)
		task := []*runtime.Task[addArgs, int]{l.task, long}[c.task]
		h, err := add(task, c.a, c.b).Enqueue(t.Context(), l.app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err, c)
		assert.EqualValues(t, c.begun, begun.Load(), c)
	}
	assert.Equal(t, map[int]int{2: 1, 3: 1, 4: 1}, l.rows())
	_, err := (<-late)()
	require.ErrorIs(t, err, runtime.ErrTaskDone)
	assert.NotContains(t, l.logs.String(), "not on the database of its engine")
}

// TestIn: tasks that are enqueued in a transaction are there once it commits.
//
// Proves: FEATURES 104
func TestIn(t *testing.T) {
	l := newLedger(t, runtime.Config{Workers: 4}, func(ctx *runtime.Context, tx *sql.Tx, a, b int) error {
		for range b { // a tree: each enqueues so many of the next generation
			if _, err := add(newAddTask("ledger.Add"), a+1, b-1).Enqueue(ctx, ctx.App().In(tx)); err != nil {
				return err
			}
		}
		return nil
	})
	l.start()
	roll := func(commit bool) *runtime.Handle[int] {
		tx, err := l.db.Begin()
		require.NoError(t, err)
		h, err := l.enqueue(l.app.In(tx), 0, 3)
		require.NoError(t, err)
		if !commit {
			require.NoError(t, tx.Rollback())
			return h
		}
		require.NoError(t, tx.Commit())
		return h
	}
	gone, there := roll(false), roll(true)
	_, err := there.Wait(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return l.rows()[3] == 6 }, 20*time.Second, 5*time.Millisecond)
	assert.Equal(t, map[int]int{0: 1, 1: 3, 2: 6, 3: 6}, l.rows())
	_, err = gone.Record(t.Context())
	require.ErrorIs(t, err, runtime.ErrNotFound)

	other, err := appDB(t, filepath.Join(t.TempDir(), "other.db")).Begin()
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	for _, tx := range []any{other, nil, "x", l.db} {
		_, err := l.enqueue(l.app.In(tx), 0, 0)
		require.ErrorIs(t, err, runtime.ErrUnsupported, "%T", tx)
	}
}

// TestTransact commits what is done without an error.
func TestTransact(t *testing.T) {
	l := newLedger(t, runtime.Config{}, nil)
	l.db.SetMaxOpenConns(1) // what is not ended would stop the next one
	insert := func(n int, end func() error) error {
		return runtime.Transact(t.Context(), l.db, func(tx *sql.Tx) error {
			if _, err := tx.Exec("INSERT INTO ledger VALUES (?, 1)", n); err != nil {
				return err
			}
			return end()
		})
	}
	errOwn := errors.New("own")
	require.NoError(t, insert(1, func() error { return nil }))
	require.Equal(t, errOwn, insert(2, func() error { return errOwn }))
	require.PanicsWithValue(t, "x", func() { _ = insert(3, func() error { panic("x") }) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = insert(4, func() error { goruntime.Goexit(); return nil })
	}()
	<-ended
	ctx, cancel := context.WithCancel(t.Context())
	err := runtime.Transact(ctx, l.db, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO ledger VALUES (5, 1)")
		cancel()
		return err
	})
	require.Error(t, err)
	require.Error(t, runtime.Transact(ctx, l.db, func(*sql.Tx) error { return nil }), "the context has ended")
	conn, err := l.db.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, runtime.Transact(t.Context(), conn, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO ledger VALUES (6, 1)")
		return err
	}))
	require.NoError(t, conn.Close())
	assert.Equal(t, map[int]int{1: 1, 6: 1}, l.rows())
}

// TestBeside: the app's file stays the app's, and is told apart from others.
func TestBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	ownTables(t, path)
	_, err := sqlite.Open(path, sqlite.Config{})
	require.ErrorIs(t, err, sqlite.ErrForeign)
	_, err = sqlite.Open(path, sqlite.Config{Beside: true, Existing: true})
	require.ErrorIs(t, err, sqlite.ErrEmpty)
	first := open(t, path, sqlite.Config{Beside: true})
	_, err = first.InsertOne(t.Context(), message("file.task"))
	require.NoError(t, err)
	second := open(t, path, sqlite.Config{Existing: true}) // as the command does
	counts, err := second.Counts(t.Context())
	require.NoError(t, err)
	require.Len(t, counts, 1)
	assert.EqualValues(t, 1, counts[0].Tasks)
	db := appDB(t, path)
	var version, app, tables int
	require.NoError(t, db.QueryRow("PRAGMA user_version").Scan(&version))
	require.NoError(t, db.QueryRow("PRAGMA application_id").Scan(&app))
	require.NoError(t, db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'taskctx%' AND name NOT LIKE 'sqlite%'").Scan(&tables))
	assert.Equal(t, []int{57, 0, 2}, []int{version, app, tables})
	var shown string
	require.NoError(t, db.QueryRow("SELECT name || ' ' || state FROM taskctx_task").Scan(&shown))
	assert.Equal(t, "file.task pending", shown)
	_, err = db.Exec(fmt.Sprintf("INSERT INTO taskctx_schema VALUES (%d, %[1]d)", sqlite.SchemaVersion+1))
	require.NoError(t, err)
	_, err = sqlite.Open(path, sqlite.Config{Beside: true})
	require.ErrorIs(t, err, sqlite.ErrNewer)
}
