package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

// joined is the engine within a transaction of the caller's.
type joined struct {
	e *Engine
	d db
}

var (
	_ engine.Transactor = (*Engine)(nil)
	_ engine.Concluder  = joined{}
)

// sqlTx is a transaction of database/sql, or of a library around it.
type sqlTx interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	Commit() error
	Rollback() error
}

// Join implements [engine.Transactor] for a pgx.Tx, and for a *sql.Tx of pgx's
// driver, github.com/jackc/pgx/v5/stdlib. A connection of pgx is asked once which
// database it is on, one of database/sql for each transaction.
func (e *Engine) Join(ctx context.Context, tx any) (engine.Inserter, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	var d db
	var known map[string]any
	switch tx := tx.(type) {
	case pgx.Tx:
		d = pgxDB{tx}
		if c := tx.Conn(); c != nil {
			known = c.PgConn().CustomData()
		}
	case sqlTx:
		d = sqlDB{tx}
	default:
		return nil, fmt.Errorf("postgres: a %T is no transaction of pgx or database/sql: %w", tx, engine.ErrUnsupported)
	}
	key := "taskctx.mark." + e.cfg.Schema
	mark, ok := known[key].(markBytes)
	if !ok {
		var err error
		if mark, err = e.markOf(ctx, d); err != nil {
			return nil, err
		}
		if known != nil {
			known[key] = mark
		}
	}
	if mark != e.mark {
		return nil, fmt.Errorf("postgres: the transaction is on another database: %w", engine.ErrUnsupported)
	}
	return joined{e, d}, nil
}

// hasSchemaSQL fails on no Postgres, which would end the transaction. The array is
// for drivers that cannot send one: they fail before they ask the server.
const hasSchemaSQL = `SELECT to_regclass(($1::text[])[1]) IS NOT NULL`

// markOf reads the mark of the database that a transaction is on, zero if it has
// no schema like the engine's.
func (e *Engine) markOf(ctx context.Context, d db) (mark markBytes, err error) {
	var has bool
	table := quoted(e.cfg.Schema) + ".taskctx_schema"
	err = d.query(ctx, hasSchemaSQL, []any{[]string{table}}, func(scan func(...any) error) error { return scan(&has) })
	switch {
	case err != nil && strings.Contains(err.Error(), "converting argument"): // by database/sql
		return mark, fmt.Errorf("postgres: the transaction is not of pgx (%w): %w", err, engine.ErrUnsupported)
	case err != nil:
		return mark, e.failed("look for the database of a transaction", err)
	case !has:
		return mark, nil
	}
	var text string
	err = d.query(ctx, e.sql.readMark, nil, func(scan func(...any) error) error { return scan(&text) })
	if err == nil {
		mark, err = decodeMark(text)
	}
	if err != nil {
		return mark, e.failed("read the mark of a transaction's database", err)
	}
	return mark, nil
}

// Insert implements [engine.Inserter].
func (j joined) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	if err := j.e.mayInsert(ctx); err != nil {
		return nil, err
	}
	l, err := j.e.newLot(ms)
	if err == nil {
		err = l.unplaced()
	}
	if err != nil {
		return nil, err
	}
	if l.keys != nil { // the key's row needs a number
		if l.id, err = j.e.nextNumbers(ctx, j.d, l.Len()); err != nil {
			return nil, j.e.failed("insert tasks in the transaction", err)
		}
	}
	ins, err := j.e.store(ctx, j.d, l)
	if err != nil {
		return nil, j.e.failed("insert tasks in the transaction", err)
	}
	return ins, nil
}

// endSQL is succeedSQL for one task, in a transaction that may have begun long
// before.
const endSQL = `
UPDATE {s}.river_job j SET state = 'completed', finalized_at = clock_timestamp()
WHERE j.id = $2::bigint AND j.state::text = 'running' AND j.attempt = $3::smallint AND {mine} RETURNING j.id`

// endWithSQL is endSQL with a result or a memo. $4 is the run's addition to
// the metadata, $5 to our part of it.
const endWithSQL = `
UPDATE {s}.river_job j SET state = 'completed', finalized_at = clock_timestamp(),
	metadata = {metadata} || $4::text::jsonb || jsonb_build_object('taskctx', {envelope} || $5::text::jsonb)
WHERE j.id = $2::bigint AND j.state::text = 'running' AND j.attempt = $3::smallint AND {mine} RETURNING j.id`

// run returns the run of this engine that a delivery is.
func (j joined) run(d *engine.Delivery) (*delivery, *serve, error) {
	if own, ok := d.Memo.(*delivery); ok {
		if s, ok := own.Store().(*serve); ok && s.e == j.e {
			return own, s, nil
		}
	}
	return nil, nil, errors.New("postgres: the task does not run on this engine")
}

// Record implements [engine.Recorder].
func (j joined) Record(ctx context.Context, d *engine.Delivery, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	own, s, err := j.run(d)
	if err != nil {
		return nil, err
	}
	r := recording{serve: s, claim: own.Claim, attempt: d.Attempt, entries: entries, numbers: make([]int64, len(entries)), joined: true}
	switch err := r.record(ctx, j.d); {
	case errors.Is(err, engine.ErrLeaseLost):
		return nil, err
	case err != nil:
		return nil, j.e.failed("record in the journal in the step's transaction", err)
	}
	return r.out, nil
}

// Conclude implements [engine.Concluder].
func (j joined) Conclude(ctx context.Context, d *engine.Delivery, o engine.Outcome) (func(), error) {
	own, s, err := j.run(d)
	if err != nil {
		return nil, err
	}
	// The statement is planned each time: a plan that was made while the table was
	// small would read all of it.
	text, args := j.e.sql.end, []any{pgx.QueryExecModeCacheDescribe, s.owner, own.Claim.job, own.Claim.attempt}
	if o.Result != nil || o.Memo != nil {
		var c conclusions
		c.add(own.Claim.job, own.Claim.attempt, &o)
		text, args = j.e.sql.endWith, append(args, j.e.stored(c.top)[0], j.e.stored(c.own)[0])
	}
	m, job := own.Message, own.Claim.job
	if m.Meta.Version >= engine.WireDurable {
		heads := []int64{job}
		if parent, ok := j.e.jobOf(m.Meta.Parent); ok && m.Meta.Entry != "" {
			heads = append(heads, parent)
		}
		if err := j.d.query(ctx, j.e.sql.journal.lockHeads, []any{heads}, nothing); err != nil {
			return nil, j.e.failed("lock the journals of the task and its parent", err)
		}
	}
	keys, err := j.leaving(ctx, m.Limits)
	if err != nil {
		return nil, j.e.failed("lock the task's limits", err)
	}
	owned := false
	err = j.d.query(ctx, text, args, func(func(...any) error) error { owned = true; return nil })
	switch {
	case err != nil:
		return nil, j.e.failed("end the task in its transaction", err)
	case !owned:
		return nil, engine.ErrLeaseLost
	}
	if m.Meta.Version >= engine.WireDurable {
		if err := j.d.query(ctx, j.e.sql.journal.arrive, []any{[]int64{job}, j.e.sql.insertChannel}, nothing); err != nil {
			return nil, j.e.failed("write the end into the journal of the parent", err)
		}
	}
	if keys != nil {
		if err := j.e.leave(ctx, j.d, []int64{job}, keys); err != nil {
			return nil, j.e.failed("let tasks in that wait for a limit", err)
		}
	}
	return func() {
		if keys == nil && m.Limits != nil {
			s.leaveLater(job)
		}
		own.Concluded()
		j.e.watch.Tell(own.Claim.job)
	}, nil
}
