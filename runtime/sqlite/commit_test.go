//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	goruntime "runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

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
	glue.Register(slow, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
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
	require.Eventually(t, func() bool { return l.rows()[7] == 1 }, time.Minute, 10*time.Millisecond)
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
		Observers: []hook.Observer{observer(func(e hook.Event) {
			if e.Kind == hook.EventEnd && e.State == engine.StateSucceeded {
				ends.Add(1)
			}
		})},
	}
	l := newLedger(t, cfg, nil)
	glue.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
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
		require.Eventually(t, func() bool { return ends.Load() == int64(i+1) }, time.Minute, time.Millisecond)
		assert.Contains(t, l.logs.String(), want)
		assert.Contains(t, l.logs.String(), "it has succeeded all the same")
	}
	assert.Equal(t, map[int]int{0: 1, 1: 1, 2: 1}, l.rows())
}

// observer is an Observer.
type observer func(hook.Event)

func (o observer) Observe(e hook.Event) { o(e) }

// TestCommit_Two: two transactions on the engine's database are not atomic.
func TestCommit_Two(t *testing.T) {
	l := newLedger(t, runtime.Config{}, nil)
	deferred, err := sql.Open("sqlite", "file:"+l.path)
	require.NoError(t, err)
	defer deferred.Close()
	glue.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
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
	glue.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
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
	glue.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
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
