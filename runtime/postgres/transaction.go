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
	switch tx := tx.(type) {
	case pgx.Tx:
		return e.joinPgx(ctx, tx)
	case sqlTx:
		d := ownMode{sqlDB{tx}}
		m, _, err := e.markOf(ctx, d)
		return e.joined(d, m, err)
	}
	return nil, fmt.Errorf("postgres: a %T is no transaction of pgx or database/sql: %w", tx, engine.ErrUnsupported)
}

// joinPgx asks a connection once.
func (e *Engine) joinPgx(ctx context.Context, tx pgx.Tx) (engine.Inserter, error) {
	own, asIs := ownMode{pgxDB{tx}}, pgxDB{tx}
	conn := tx.Conn()
	if conn == nil {
		m, _, err := e.markOf(ctx, own)
		return e.joined(own, m, err)
	}
	known, key := conn.PgConn().CustomData(), "taskctx.connection."+e.cfg.Schema
	p, ok := known[key].(connection)
	if !ok {
		m, session, err := e.markOf(ctx, own)
		if err != nil {
			return nil, err
		}
		p = connection{m, session != int64(conn.PgConn().PID())}
		known[key] = p
	}
	if p.pooled && conn.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		return e.joined(own, p.mark, nil)
	}
	return e.joined(asIs, p.mark, nil)
}

// connection is what is known of one of the caller's: the mark of the database that it leads
// to, and whether a pooler is between.
type connection struct {
	mark   markBytes
	pooled bool
}

func (e *Engine) joined(d db, m markBytes, err error) (engine.Inserter, error) {
	switch {
	case err != nil:
		return nil, err
	case m != e.mark:
		return nil, fmt.Errorf("postgres: the transaction is on another database: %w", engine.ErrUnsupported)
	}
	return joined{e, d}, nil
}

// ownMode is a db on a connection of the caller's, whose statements are sent so that
// they leave none prepared, whatever the caller's are: through a pooler the next
// transaction may be in another session, where it is missing, and this one in a
// session where another client has prepared it.
type ownMode struct{ db }

func (d ownMode) query(ctx context.Context, text string, args []any, each func(func(...any) error) error) error {
	if len(args) > 0 {
		if _, ok := args[0].(pgx.QueryExecMode); ok {
			return d.db.query(ctx, text, args, each)
		}
	}
	return d.db.query(ctx, text, append([]any{pgx.QueryExecModeCacheDescribe}, args...), each)
}

// hasSchemaSQL fails on no Postgres, which would end the transaction. The array is
// for drivers that cannot send one: they fail before they ask the server.
const hasSchemaSQL = `SELECT to_regclass(($1::text[])[1]) IS NOT NULL, pg_backend_pid()`

// markOf reads the mark of the database that a transaction is on, zero if it has
// no schema like the engine's, and the number of its session.
func (e *Engine) markOf(ctx context.Context, d db) (m markBytes, session int64, err error) {
	var has bool
	table := quoted(e.cfg.Schema) + ".taskctx_schema"
	err = d.query(ctx, hasSchemaSQL, []any{[]string{table}}, func(scan func(...any) error) error { return scan(&has, &session) })
	switch {
	case err != nil && strings.Contains(err.Error(), "converting argument"): // by database/sql
		return m, 0, fmt.Errorf("postgres: the transaction is not of pgx (%w): %w", err, engine.ErrUnsupported)
	case err != nil:
		return m, 0, e.failed("look for the database of a transaction", err)
	case !has:
		return m, session, nil
	}
	var text string
	err = d.query(ctx, e.sql.readMark, nil, func(scan func(...any) error) error { return scan(&text) })
	if err == nil {
		m, err = decodeMark(text)
	}
	if err != nil {
		return m, 0, e.failed("read the mark of a transaction's database", err)
	}
	return m, session, nil
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
	for _, i := range l.replacing(ins) {
		if len(l.keys[i].Limits) > 0 { // its keys would stay locked until the end
			return nil, unsupported("replacing a task with limits within a transaction")
		}
		within := func(ctx context.Context, f func(context.Context, db) error) error { return f(ctx, j.d) }
		if ins[i], err = j.e.replaceHeld(ctx, l.keys[i], ins[i], within); err != nil {
			return nil, j.e.failed("insert tasks in the transaction", err)
		}
	}
	return ins, nil
}

// endSQL is succeedSQL for one task, in a transaction that may have begun long
// before.
const endSQL = `
UPDATE {s}.river_job j SET state = 'completed', finalized_at = clock_timestamp()
WHERE j.id = $2::bigint AND j.state::text = 'running' AND j.attempt = $3::smallint AND {mine} RETURNING j.id`

// endWithSQL is endSQL with a result or a memo. $4 is the run's addition to
// the metadata, $5 to our part of it, from which it takes $6 away.
const endWithSQL = `
UPDATE {s}.river_job j SET state = 'completed', finalized_at = clock_timestamp(),
	metadata = {metadata} || $4::text::jsonb || jsonb_build_object('taskctx', ({envelope} - $6::text::text[]) || $5::text::jsonb)
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
		text, args = j.e.sql.endWith, append(args, j.e.stored(c.top)[0], j.e.stored(c.own)[0], c.empty[0])
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
