//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
)

// BenchmarkCommit is a task that adds a row in its transaction: with its end in
// it, and apart.
func BenchmarkCommit(b *testing.B) {
	for name, commit := range map[string]func(ctx context.Context, tx *sql.Tx) func(error) error{
		"joined": func(ctx context.Context, tx *sql.Tx) func(error) error { return runtime.Commit(ctx, tx) },
		"apart":  func(ctx context.Context, tx *sql.Tx) func(error) error { return commitApart(ctx, tx) },
	} {
		b.Run(name, func(b *testing.B) {
			l := newLedger(b, runtime.Config{Workers: 1}, nil)
			key := runtime.NewKey[*sql.Tx]("tx", runtime.PerTask, nil)
			glue.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
				tx, err := key.Provide(ctx, func(context.Context) (*sql.Tx, func(error) error, error) {
					tx, err := l.db.BeginTx(ctx, nil)
					return tx, commit(ctx, tx), err
				})
				if err == nil {
					_, err = tx.ExecContext(ctx, "INSERT INTO ledger VALUES (?, 1)", x.a)
				}
				return x.a, err
			})
			var batch runtime.Batch
			var hs []*runtime.Handle[int]
			for n := range b.N {
				hs = append(hs, runtime.AddTo(&batch, add(l.task, n, 0)))
			}
			require.NoError(b, batch.Enqueue(b.Context(), l.app))
			b.ResetTimer()
			l.start()
			for _, h := range hs {
				_, err := h.Wait(b.Context())
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// commitApart commits as a program does by hand.
func commitApart(_ context.Context, tx interface {
	Commit() error
	Rollback() error
}) func(error) error {
	return func(err error) error {
		if err != nil {
			return tx.Rollback()
		}
		return tx.Commit()
	}
}
