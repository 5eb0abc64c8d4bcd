package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskctx/taskctx/runtime/engine"
)

// An insert is sent again until its result is known: the jobs have their
// numbers already, so that they are stored once.

const (
	// storeTimeout bounds an insert with all its attempts, and each task of it adds
	// storeEach.
	storeTimeout = 12 * time.Second
	storeEach    = time.Millisecond
	// storePause is between two attempts.
	storePause = 20 * time.Millisecond
)

// lostError is the error of an insert that may or may not have been executed.
type lostError struct{ err error }

func (l *lostError) Error() string { return l.err.Error() }
func (l *lostError) Unwrap() error { return l.err }

// wasLost reports whether the lot may have been stored in spite of the error
// of storeOnPool.
func wasLost(err error) bool {
	_, ok := errors.AsType[*lostError](err)
	return ok
}

// storing is one call of storeOnPool.
type storing struct {
	e        *Engine
	l        *lot
	attempts int
	doubted  error // of the last attempt whose answer was lost
}

// storeOnPool stores a lot of jobs that have their numbers.
func (e *Engine) storeOnPool(ctx context.Context, l *lot) ([]engine.Inserted, error) {
	more := time.Duration(l.Len()) * storeEach
	limited, cancel := context.WithTimeout(ctx, storeTimeout+more)
	defer cancel()
	s := &storing{e: e, l: l}
	for {
		var ins []engine.Inserted
		err := e.bounded(limited, callTimeout+more, func(ctx context.Context) (err error) {
			ins, err = s.attempt(ctx)
			return err
		})
		if err == nil {
			return ins, nil
		}
		if again := s.again(limited, err); !again {
			if s.doubted != nil {
				return nil, &lostError{s.doubted}
			}
			return nil, err
		}
	}
}

// attempt stores the lot, or finds that an earlier attempt has.
func (s *storing) attempt(ctx context.Context) ([]engine.Inserted, error) {
	conn, err := s.e.pool.Acquire(ctx)
	if err != nil {
		return nil, &unsentError{err}
	}
	defer conn.Release()
	if s.l.alone() {
		return s.inTx(ctx, conn)
	}
	ins, err := s.e.store(ctx, pgxDB{conn}, s.l)
	if sqlState(err) == uniqueViolation {
		return s.taken(ctx, conn, ins, err)
	}
	return ins, err
}

// inTx stores a lot with keys or limits. Only the commit's answer can be lost.
func (s *storing) inTx(ctx context.Context, conn *pgxpool.Conn) ([]engine.Inserted, error) {
	how := readCommitted
	if s.l.limited != nil {
		how = steeredTx
	}
	tx, err := conn.BeginTx(ctx, how)
	if err != nil {
		return nil, &unsentError{err}
	}
	ins, err := s.e.store(ctx, pgxDB{tx}, s.l)
	if err == nil {
		return ins, committed(tx.Commit(ctx))
	}
	_ = tx.Rollback(ctx) // if it fails, the connection ends
	if sqlState(err) == uniqueViolation {
		return s.taken(ctx, conn, ins, err)
	}
	return nil, &unsentError{err}
}

// committed returns the error of a commit: pgx does not always say that it was
// sent.
func committed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrTxCommitRollback) || sqlState(err) != "" && !lost(err) {
		return &unsentError{err}
	}
	return &lostError{err}
}

// uniqueViolation is the code of an insert with a number that a job has.
const uniqueViolation = "23505"

// taken decides what happens when a number of the lot has a job: either an
// earlier attempt has stored the lot, and ins is the answer, or the lot gets
// other numbers.
func (s *storing) taken(ctx context.Context, conn *pgxpool.Conn, ins []engine.Inserted, err error) ([]engine.Inserted, error) {
	if s.doubted == nil {
		return nil, s.renumber(ctx, err)
	}
	stored := 0
	lookErr := pgxDB{conn}.query(ctx, s.e.sql.stored, []any{s.l.id, s.l.kind, s.l.at}, func(scan func(...any) error) error {
		return scan(&stored)
	})
	switch {
	case lookErr != nil:
		return nil, &unsentError{lookErr}
	case stored == 0:
		return nil, s.renumber(ctx, err)
	}
	return ins, nil
}

// unsentError is the error of an attempt that has stored nothing.
type unsentError struct{ err error }

func (u *unsentError) Error() string { return u.err.Error() }
func (u *unsentError) Unwrap() error { return u.err }

// again decides, after a failed attempt, whether to try once more.
func (s *storing) again(ctx context.Context, err error) bool {
	_, unsent := errors.AsType[*unsentError](err)
	_, renumbered := errors.AsType[*renumberedError](err)
	s.attempts++
	few := s.attempts <= maxClashes
	switch {
	case renumbered || clashed(err):
		if !few {
			return false
		}
	case wasLost(err) || !unsent && lost(err):
		s.doubted = err
	case s.doubted != nil: // until it is known
		if code := sqlState(err); code != "" && !passing(err) {
			return false
		}
	case s.attempts <= maxStale && stale(err):
	default:
		return false
	}
	t := time.NewTimer(storePause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// renumberedError says that the lot has other numbers now.
type renumberedError struct{ err error }

func (r *renumberedError) Error() string { return fmt.Sprintf("numbers of jobs are taken: %v", r.err) }
func (r *renumberedError) Unwrap() error { return r.err }

// renumber gives the lot other numbers: after a failover the server may not
// know of all numbers reserved before.
func (s *storing) renumber(ctx context.Context, err error) error {
	s.e.numbers.drop()
	numbers, rerr := s.e.reserve(ctx, s.l.Len())
	if rerr != nil {
		return &unsentError{rerr}
	}
	copy(s.l.id, numbers)
	s.doubted = nil
	return &renumberedError{err}
}
