package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/life"
)

// Commit returns the cleanup of a provider of task scope that makes a transaction:
// it commits when the task has succeeded, and rolls back when the task has failed,
// was cancelled, panicked or is suspended.
//
//	//task:provide task
//	func beginTx(ctx *runtime.Context, db *sql.DB) (*sql.Tx, func(error) error, error) {
//		tx, err := db.BeginTx(ctx, nil)
//		return tx, runtime.Commit(ctx, tx), err
//	}
//
// Where the transaction is on the database that holds the tasks, and the engine is
// an [engine.Transactor], the task's end is written in it and commits with it. So
// what the task did in the transaction happens exactly once, however often its
// worker dies: a run that no longer owns its task cannot commit. The task's success
// is final then. An error of a cleanup that comes later, or of middleware, is
// logged and changes nothing. A second transaction on that database in one run is
// an error, and both roll back: they could not commit as one.
//
// On another database, and outside of a task, it commits as usual, after which the
// task may still run again if its worker dies in that moment; the log says so once.
//
// In a step of a durable task it is the step's entry in the journal that commits with
// the transaction, so that what the step does in it happens exactly once.
//
// tx has a method Commit and a method Rollback, with a context, as a pgx.Tx, or
// without, as a *sql.Tx. Commit may ask the database whether it is the engine's; an
// error of that is the cleanup's.
func Commit(ctx context.Context, tx any) func(error) error {
	c := &commit{ctx: ctx, tx: tx, run: current(ctx)}
	if v := reflect.ValueOf(tx); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		c.err = errors.New("runtime.Commit: there is no transaction")
		return func(error) error { return c.err }
	}
	if c.run != nil {
		c.join()
	}
	return c.end
}

// commit is one transaction of a run.
type commit struct {
	ctx    context.Context
	tx     any
	run    *run             // nil outside of a task
	joined engine.Concluder // nil for a transaction that cannot end the task or the step
	steps  engine.Recorder  // for that of a step
	err    error            // why it must not be committed
}

// commitTimeout bounds the statements of the engine's own in a task's transaction.
const commitTimeout = 30 * time.Second

// bounded is the context of those: it outlives a timeout of the task, whose function
// has succeeded.
func (c *commit) bounded() *life.Bounded { return life.Outlive(c.ctx, commitTimeout) }

// join finds out whether the transaction can end the task.
func (c *commit) join() {
	t, ok := engine.As[engine.Transactor](c.run.app.engine)
	if !ok {
		c.run.app.tellApart(c.tx)
		return
	}
	ctx := c.bounded()
	defer ctx.End()
	in, err := t.Join(ctx, c.tx)
	if err != nil && !errors.Is(err, engine.ErrUnsupported) {
		c.err = fmt.Errorf("runtime.Commit: %w", err)
		return
	}
	if c.joined, ok = in.(engine.Concluder); ok && c.run.outer() != nil {
		if c.steps, ok = in.(engine.Recorder); !ok {
			c.joined = nil
		}
	}
	if !ok {
		c.run.app.tellApart(c.tx)
		return
	}
	x := c.run.more()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.commits++
}

// tellApart says, once, that a task's transaction does not end the task.
func (a *App) tellApart(tx any) {
	if a.toldApart.Swap(true) {
		return
	}
	a.log(slog.LevelInfo, "a task commits a transaction that is not on the database of its engine: "+
		"if its worker dies right after, the task runs again", slog.String("transaction", fmt.Sprintf("%T", tx)))
}

// Errors of a cleanup that Commit returned.
var (
	errTwoCommits = Permanent(errors.New("runtime.Commit: the task has two transactions on the database of its engine, " +
		"which cannot commit as one: use one for both"))
	errEarlyCommit = Permanent(errors.New("runtime.Commit: the task has not ended: it is for the cleanup of a provider " +
		"of task scope; use runtime.Transact for a transaction within the task"))
)

// end is the cleanup.
func (c *commit) end(cause error) error {
	if cause == nil && c.err == nil {
		if c.joined == nil {
			return commitTx(c.ctx, c.tx)
		}
		c.err = c.conclude()
		if c.err == nil {
			return nil
		}
	}
	rollbackTx(c.ctx, c.tx)
	return c.err // also after another, of which it may be the cause: it has broken the transaction
}

// conclude writes the task's success in the transaction and commits it.
func (c *commit) conclude() error {
	r, x := c.run, c.run.more()
	x.mu.Lock()
	commits := x.commits
	x.mu.Unlock()
	switch {
	case !r.returned.Load():
		return errEarlyCommit
	case commits > 1:
		return errTwoCommits
	}
	if c.steps != nil {
		return c.remember(r.outer())
	}
	o := engine.Outcome{Kind: engine.OutcomeSucceed, Result: r.result}
	if r.flags.memoChanged || r.hasNotes() {
		o.Memo = r.concludeMemo(&o, false, false)
	}
	ctx := c.bounded()
	defer ctx.End()
	committed, err := c.joined.Conclude(ctx, r.d, o)
	if err != nil {
		x.lost = errors.Is(err, engine.ErrLeaseLost)
		return fmt.Errorf("end the task in its transaction: %w", err)
	}
	if err := commitTx(c.ctx, c.tx); err != nil {
		return err
	}
	x.final = &o
	committed()
	return nil
}

// remember writes the entry of a step in its transaction and commits it.
func (c *commit) remember(task *run) error {
	l, d := c.run.lasts(), task.remembered()
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx := c.bounded()
	defer ctx.End()
	es := []engine.NewEntry{{Name: l.step, Kind: engine.EntryStep, Value: c.run.result}}
	out, err := d.write(ctx, es, func(ctx context.Context, es []engine.NewEntry) ([]engine.JournalEntry, error) {
		return c.steps.Record(ctx, task.d, es)
	})
	if err != nil {
		task.more().lost = errors.Is(err, engine.ErrLeaseLost)
		return fmt.Errorf("remember the step in its transaction: %w", err)
	}
	if !bytes.Equal(out[0].Value, c.run.result) { // as it was written, so by an earlier run
		return errors.New("runtime.Commit: the step was remembered before")
	}
	if err := commitTx(c.ctx, c.tx); err != nil {
		return err
	}
	d.addAll(out)
	l.entry = &out[0]
	return nil
}

// logAfterEnd logs an error that came too late to count.
func (r *run) logAfterEnd(err error) {
	r.app.log(slog.LevelError, "an error came after the commit that ended the task or its step: it has succeeded all the same",
		append(r.logAttrs(), slog.String("error", clip(r.redactor().Clean(guard.Text(err)))))...)
}

// concluded reports whether a transaction of the task's has ended it, and with
// which outcome. Later errors are only logged.
func (w *worker) concluded(r *run, o *engine.Outcome) bool {
	x := r.extras()
	if x == nil || x.final == nil {
		return false
	}
	*o = *x.final
	if r.err != nil {
		r.logAfterEnd(r.err)
	}
	if w.app.watched() {
		w.app.observe(event{Event: hook.Event{Kind: hook.EventEnd}, run: r, outcome: *o})
	}
	return true
}

// commitTx commits a transaction of any library.
func commitTx(ctx context.Context, tx any) error {
	var err error
	switch tx := tx.(type) {
	case interface{ Commit() error }:
		err = tx.Commit()
	case interface{ Commit(context.Context) error }:
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer done()
		err = tx.Commit(ctx)
	default:
		return Permanent(fmt.Errorf("a %T cannot be committed: it has no method Commit() error or Commit(context.Context) error", tx))
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// rollbackTx rolls a transaction back. Its error means nothing to the task,
// which has one already: uncommitted writes have no effect.
func rollbackTx(ctx context.Context, tx any) {
	switch tx := tx.(type) {
	case interface{ Rollback() error }:
		_ = tx.Rollback()
	case interface{ Rollback(context.Context) error }:
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer done()
		_ = tx.Rollback(ctx)
	}
}
