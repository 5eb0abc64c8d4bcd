package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskctx/taskctx/runtime/engine"
)

// db is what statements run on: the engine's pool, a connection, a transaction of
// pgx, or one of database/sql.
type db interface {
	query(ctx context.Context, sql string, args []any, each func(scan func(...any) error) error) error
}

// pgxDB is a db on a connection or transaction of pgx.
type pgxDB struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}
}

func (d pgxDB) query(ctx context.Context, text string, args []any, each func(func(...any) error) error) error {
	rows, err := d.q.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}

// steerSQL makes the planner take the indexes, for the rest of the transaction.
//
// Postgres keeps the plan of a prepared statement until the table is analyzed,
// however large the table becomes meanwhile. One that it made while the table
// was small reads all of it, or all of an index, each time. What runs for each
// task, or each few of them, is to find its rows in a large table and in a small
// one in the same way. Plans with a step that is off, where there is no other,
// look so expensive that they would be compiled. Since there is one way to find the rows,
// whatever the arguments, a plan is made once: to make it takes longer than to run it.
const steerSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true),
	set_config('enable_sort', 'off', true), set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`

// steered returns a batch for statements that are planned with steerSQL.
func steered() *pgx.Batch {
	b := new(pgx.Batch)
	b.Queue(steerSQL)
	return b
}

// sqlDB is a db on a transaction of database/sql, by pgx's driver for it.
type sqlDB struct{ tx sqlTx }

func (d sqlDB) query(ctx context.Context, text string, args []any, each func(func(...any) error) error) (err error) {
	rows, err := d.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// The engine's own requests go over a pool of its own, so that neither handlers
// nor transactions that hold every connection of the caller's pool can stop it.
// Each has a bound in time, whatever its context has.

const (
	// callTimeout bounds a request whose caller waits for the answer.
	callTimeout = 5 * time.Second
	// renewEvery is how often all connections are given up at most, after one of
	// them did not answer or could not write.
	renewEvery = time.Second
	// slowCall is how long a request takes before the end of its context says
	// something of its connection.
	slowCall = time.Second
	// closeTimeout bounds the end of the connections, which may be dead.
	closeTimeout = time.Second
)

// errSilent is the error of a request that the server did not answer in time.
var errSilent = errors.New("the database does not answer")

// newPoolAs returns a pool like the given one, for the engine alone. It connects
// when it must.
func newPoolAs(ctx context.Context, pc *pgxpool.Config) (*pgxpool.Pool, error) {
	pc.MaxConns = max(pc.MaxConns, minConns)
	pc.MinConns, pc.MinIdleConns = 0, 0
	// The server's default is the database's, in which our texts are something else.
	pc.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	if pc.PingTimeout == 0 {
		pc.PingTimeout = callTimeout / 2
	}
	// Through a pooler a connection may get what another has subscribed to: it
	// would be kept for ever.
	pc.ConnConfig.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = callTimeout
	}
	return pgxpool.NewWithConfig(ctx, pc)
}

// bounded calls f with a context that ends after d at the latest, and gives the
// connections up when they are of no more use.
func (e *Engine) bounded(ctx context.Context, d time.Duration, f func(ctx context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	began := time.Now()
	err := f(limited)
	if err == nil {
		return nil
	}
	silent := limited.Err() != nil && ctx.Err() == nil
	if silent {
		err = fmt.Errorf("%w: %w", errSilent, err)
	}
	if silent || readOnly(err) || limited.Err() != nil && time.Since(began) >= slowCall {
		e.renew()
	}
	return err
}

// renew gives all connections up: those that are idle now, the others after
// their use.
func (e *Engine) renew() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.renewed) >= renewEvery && e.closing.Err() == nil {
		e.renewed = now
		e.pool.Reset()
	}
}

// query implements [db], on the pool.
func (e *Engine) query(ctx context.Context, text string, args []any, each func(func(...any) error) error) error {
	return e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		return pgxDB{e.pool}.query(ctx, text, args, each)
	})
}

// steered is query, for statements that are planned with steerSQL.
func (e *Engine) steered(ctx context.Context, text string, args []any, each func(func(...any) error) error) error {
	b := steered()
	b.Queue(text, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := each(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return e.send(ctx, callTimeout, b)
}

// row is query, for a statement with one row.
func (e *Engine) row(ctx context.Context, text string, args []any, into ...any) error {
	return e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		return e.pool.QueryRow(ctx, text, args...).Scan(into...)
	})
}

// steeredRow is row, for a statement that is planned with steerSQL.
func (e *Engine) steeredRow(ctx context.Context, text string, args []any, into ...any) error {
	b := steered()
	b.Queue(text, args...).QueryRow(func(row pgx.Row) error { return row.Scan(into...) })
	return e.send(ctx, callTimeout, b)
}

// exec is query, for a statement without rows. It returns how many it changed.
func (e *Engine) exec(ctx context.Context, text string, args ...any) (changed int, err error) {
	err = e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		tag, err := e.pool.Exec(ctx, text, args...)
		changed = int(tag.RowsAffected())
		return err
	})
	return changed, err
}

// send sends a batch.
func (e *Engine) send(ctx context.Context, d time.Duration, b *pgx.Batch) error {
	return e.bounded(ctx, d, func(ctx context.Context) error { return e.pool.SendBatch(ctx, b).Close() })
}

// inTx runs f in a transaction whose statements are planned with steerSQL, again if it
// clashed with another.
func (e *Engine) inTx(ctx context.Context, f func(ctx context.Context, d db) error) error {
	return e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		return e.unclashed(ctx, func(tx pgx.Tx) error { return f(ctx, pgxDB{tx}) })
	})
}

// unclashed runs f in a transaction, again if it clashed with another.
func (e *Engine) unclashed(ctx context.Context, f func(tx pgx.Tx) error) error {
	for range maxClashes {
		if err := pgx.BeginTxFunc(ctx, e.pool, steeredTx, f); !clashed(err) {
			return err
		}
	}
	return errClashes
}

// queued is a db whose statements wait in a batch: their rows are there when that was
// sent.
type queued struct{ b *pgx.Batch }

func (q queued) query(_ context.Context, text string, args []any, each func(func(...any) error) error) error {
	q.b.Queue(text, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := each(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return nil
}

// together runs the statements that fill queues in one round trip, if that can be: on a
// connection or a transaction of pgx.
func together(ctx context.Context, d db, fill func(d db) error) error {
	own, ok := d.(pgxDB)
	if !ok {
		return fill(d)
	}
	on, ok := own.q.(interface {
		SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	})
	if !ok {
		return fill(d)
	}
	b := new(pgx.Batch)
	if err := fill(queued{b}); err != nil {
		return err
	}
	return on.SendBatch(ctx, b).Close()
}

// trip queues statements of a transaction that are sent in one round trip.
type trip func(ctx context.Context, d db) error

// inTrips runs a steered transaction in a round trip for each part, of which the first
// locks and reads, and the last ends it: what is locked is so for no longer than it takes
// to decide. It does so again if it clashed with another.
func (e *Engine) inTrips(ctx context.Context, parts ...trip) error {
	return e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		for range maxClashes {
			err := e.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return sendTrips(ctx, c, parts) })
			if !clashed(err) {
				return err
			}
		}
		return errClashes
	})
}

func sendTrips(ctx context.Context, c *pgxpool.Conn, parts []trip) (err error) {
	defer func() {
		if err != nil && !c.Conn().IsClosed() && c.Conn().PgConn().TxStatus() != 'I' {
			_, _ = c.Exec(ctx, "ROLLBACK") // if it fails, the connection ends
		}
	}()
	for n, part := range parts {
		b := new(pgx.Batch)
		if n == 0 {
			b.Queue(beginSQL)
			b.Queue(steerSQL)
		}
		if err := part(ctx, queued{b}); err != nil {
			return err
		}
		if n == len(parts)-1 {
			b.Queue("COMMIT")
		}
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	return nil
}

// inBatch runs the statements that fill adds to a batch in a steered transaction, in
// one round trip, again if it clashed with another.
func (e *Engine) inBatch(ctx context.Context, fill func(b *pgx.Batch)) error {
	for range maxClashes {
		b := new(pgx.Batch)
		if e.pooled {
			b.Queue(beginSQL)
		}
		b.Queue(steerSQL)
		fill(b)
		if e.pooled { // else a batch is a transaction, of the isolation that newPool sees to
			b.Queue("COMMIT")
		}
		err := e.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			err := c.SendBatch(ctx, b).Close()
			if err != nil && !c.Conn().IsClosed() && c.Conn().PgConn().TxStatus() != 'I' {
				_, _ = c.Exec(ctx, "ROLLBACK") // if it fails, the connection ends
			}
			return err
		})
		if !clashed(err) {
			return err
		}
	}
	return errClashes
}

var errClashes = errors.New("the transaction clashed with others again and again")

// readCommitted are the options of our transactions, whatever the default is.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// steeredTx are those of transactions whose statements are planned with steerSQL.
var steeredTx = pgx.TxOptions{BeginQuery: beginSQL + "; " + steerSQL}

const beginSQL = "BEGIN ISOLATION LEVEL READ COMMITTED"

// maxClashes is how often a transaction is tried that others clash with.
const maxClashes = 10

// sqlState returns the code of an error that the server has answered with, empty
// for any other.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// clashed reports that a statement failed because of another transaction, and
// may succeed when it is tried again.
func clashed(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01"
}

// readOnly reports that the server cannot write: it is a standby, or became one.
func readOnly(err error) bool { return sqlState(err) == "25006" }

// lost reports that the error leaves it open whether the statement was executed.
func lost(err error) bool {
	if err == nil || pgconn.SafeToRetry(err) {
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC"
}

// stale reports that the connection had ended before the server answered.
func stale(err error) bool {
	return (pgconn.SafeToRetry(err) || lost(err)) && !errors.Is(err, errSilent)
}

// maxStale is how often a request is sent again over another connection.
const maxStale = 3

// passing reports an error of a server that cannot be reached, or cannot serve,
// for now.
func passing(err error) bool {
	code := sqlState(err)
	switch {
	case errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrClosed):
		return false
	case code == "":
		return true
	case clashed(err), readOnly(err):
		return true
	}
	// Connections, resources, operators (the server stops or starts), the system.
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53") || strings.HasPrefix(code, "57") ||
		strings.HasPrefix(code, "58")
}

// collectIDs reads rows of numbers.
func collectIDs(ids *[]int64) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	}
}

// scanIDs is collectIDs for query.
func scanIDs(ids *[]int64) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		*ids = append(*ids, id)
		return err
	}
}
