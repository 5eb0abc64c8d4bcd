package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// lender is a transaction of database/sql, or of a library around it.
type lender interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	Commit() error
	Rollback() error
}

// joined is the engine within a transaction of the caller's.
type joined struct {
	e  *Engine
	tx lender
}

// Join implements [engine.Transactor] for a *sql.Tx, or a value that embeds
// one, of the driver modernc.org/sqlite on the engine's file. Another SQLite
// library is [engine.ErrUnsupported]. It must not have the file open at all:
// POSIX locks are those of a process, so each of two libraries in it ends the
// other's.
func (e *Engine) Join(ctx context.Context, tx any) (engine.Inserter, error) {
	l, ok := tx.(lender)
	if !ok {
		return nil, fmt.Errorf("sqlite: a %T is no transaction of database/sql: %w", tx, engine.ErrUnsupported)
	}
	// Other databases answer 1 to this; some would end the transaction for an
	// unknown function.
	var other int
	if err := l.QueryRowContext(ctx, "SELECT CASE WHEN '1' = 1 THEN 1 ELSE 0 END").Scan(&other); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if other == 1 {
		return nil, fmt.Errorf("sqlite: the transaction is on another database: %w", engine.ErrUnsupported)
	}
	j := &joined{e, l}
	err := j.borrow(ctx, func(*lite.Conn) error { return nil })
	if errors.Is(err, lite.ErrStranger) {
		err = fmt.Errorf("sqlite: the transaction is of %w: %w", err, engine.ErrUnsupported)
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

// borrow calls do with the connection of the transaction, if that is on the
// engine's file.
func (j *joined) borrow(ctx context.Context, do func(c *lite.Conn) error) error {
	return lite.Borrow(func(query string, n int64) error {
		var done int
		return j.tx.QueryRowContext(ctx, query, n).Scan(&done)
	}, func(c *lite.Conn) error {
		path, err := c.Path()
		if err != nil {
			return err
		}
		if file, err := identityOf(path); path == "" || err != nil || file != j.e.file {
			return fmt.Errorf("sqlite %s: the transaction is on another file, %q: %w", j.e.path, path, engine.ErrUnsupported)
		}
		if !c.InTransaction() {
			return fmt.Errorf("sqlite %s: there is no transaction: %w", j.e.path, engine.ErrUnsupported)
		}
		c.Prefix = j.e.db.c.Prefix
		return do(c)
	})
}

// write calls do in the transaction. While another connection holds the write lock,
// and this one has not begun to write, it waits. journals says that do may write to
// those.
func (j *joined) write(ctx context.Context, journals bool, do func(t *txn) error) error {
	e := j.e
	return e.explain(j.borrow(ctx, func(c *lite.Conn) error {
		d := &db{c: c, pageSize: e.db.pageSize}
		if err := d.prepareJoined(journals); err != nil {
			return err
		}
		// This does not touch the writer's plan or its workers: the writer
		// finds new rows in the file once they are committed.
		guest := &Engine{config: e.config, path: e.path, db: d}
		began, nap := time.Now(), minNap
		for {
			err := do(&txn{Engine: guest, now: nanos(e.now())})
			if !lite.Waits(err) || time.Since(began) > e.busy || ctx.Err() != nil {
				return err
			}
			time.Sleep(nap)
			nap = min(2*nap, maxNap)
		}
	}))
}

// prepareJoined prepares the statements for the caller's transactions.
func (d *db) prepareJoined(journals bool) (err error) {
	if journals {
		for s, text := range d.journalStatements() {
			if *s, err = d.c.Prepare(text); err != nil {
				return err
			}
		}
	}
	texts := d.statements()
	for _, s := range []**lite.Stmt{
		&d.insert, &d.keyHolder, &d.holdKey, &d.dropKey, &d.keepLonger, &d.finish, &d.addPurge, &d.pageCount, &d.freePages,
	} {
		if *s, err = d.c.Prepare(texts[s]); err != nil {
			return err
		}
	}
	return nil
}

// Insert implements [engine.Inserter].
func (j *joined) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	for _, m := range ms {
		if m.Limits != nil {
			return nil, errLimitsJoined
		}
		if m.Replace {
			return nil, fmt.Errorf("WithReplace within a transaction: %w", engine.ErrUnsupported)
		}
	}
	o := newInsertOp(ms)
	if err := o.prepare(j.e); err != nil {
		return nil, err
	}
	if err := j.write(ctx, false, o.apply); err != nil {
		return nil, err
	}
	return o.out, nil
}

// Conclude implements [engine.Concluder].
func (j *joined) Conclude(ctx context.Context, d *engine.Delivery, o engine.Outcome) (func(), error) {
	own, ok := d.Memo.(*delivery)
	if !ok || own.s.e != j.e {
		return nil, errors.New("sqlite: the task does not run on this engine")
	}
	lost := false
	err := j.write(ctx, own.msg.Meta.Version >= engine.WireDurable, func(t *txn) error {
		// A copy: the writer may look at the delivery.
		end := &delivery{msg: own.msg, outcome: o, row: row{seq: own.seq, lease: own.lease, keep: own.keep}}
		if err := end.finish(t, &ending{state: succeeded, result: o.Result, memo: o.Memo}); err != nil {
			return err
		}
		lost = end.refused
		return t.recordEnds()
	})
	switch {
	case err != nil:
		return nil, err
	case lost:
		return nil, engine.ErrLeaseLost
	}
	return own.committed, nil
}

// Record implements [engine.Recorder].
func (j *joined) Record(ctx context.Context, d *engine.Delivery, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	own, ok := d.Memo.(*delivery)
	if !ok || own.s.e != j.e {
		return nil, errors.New("sqlite: the task does not run on this engine")
	}
	var r recording
	err := j.write(ctx, true, func(t *txn) error {
		r = recording{t: t, d: own, extras: make([][]byte, len(entries)), out: make([]engine.JournalEntry, len(entries))}
		return r.record(entries)
	})
	switch {
	case err != nil:
		return nil, err
	case r.lost:
		return nil, engine.ErrLeaseLost
	}
	return r.out, nil
}

// committed notes that the run's success is in the file.
func (d *delivery) committed() {
	d.recorded.Store(true)
	d.s.e.waiters.tell(d.msg.Meta.ID, nil)
	d.s.e.queue.ring()
}
