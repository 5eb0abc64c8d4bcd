package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// leave gives up the places of jobs, as their states want it, and lets others in. The
// keys are those of the jobs' limits, and locked.
func (e *Engine) leave(ctx context.Context, d db, jobs []int64, keys *limitKeys) error {
	if len(keys.key) == 0 {
		return nil
	}
	if err := d.query(ctx, e.sql.limit.leave, []any{jobs}, nothing); err != nil {
		return fmt.Errorf("give up places of limits: %w", err)
	}
	return e.letIn(ctx, d, keys.key)
}

// letInLot is how many jobs of a key a statement lets in.
const letInLot = 100

// letInLots is how many lots of each key a transaction lets in. There may be many to let
// go where a queue is paused: others wait for the keys, and the sweep goes on with it.
const letInLots = 10

// letIn gives the free places of locked keys to the jobs that wait for them, but not to
// all of very many.
func (e *Engine) letIn(ctx context.Context, d db, keys [][]byte) error {
	_, err := e.letInLots(ctx, d, keys)
	return err
}

// letInLots is letIn, and reports whether there may be more.
func (e *Engine) letInLots(ctx context.Context, d db, keys [][]byte) (more bool, err error) {
	more = len(keys) > 0
	for lot := 0; more && lot < letInLots; lot++ {
		if _, more, err = e.letInSome(ctx, d, keys, letInLot); err != nil {
			return false, fmt.Errorf("let tasks in that wait for a limit: %w", err)
		}
	}
	return more, nil
}

// letInSome lets in up to most jobs of each of some locked keys. It returns how many it
// has let in, and whether there may be more.
func (e *Engine) letInSome(ctx context.Context, d db, keys [][]byte, most int) (woken int, more bool, err error) {
	var in letIns
	err = d.query(ctx, e.sql.limit.letIn, []any{keys, e.sql.insertChannel, most}, e.scanLetIn(&in))
	e.below(in.id)
	return len(in.queue), in.more, err
}

// letIns are jobs that were let in, by columns.
type letIns struct {
	id          []int64
	queue, kind []string
	more        bool // there may be more
	paused      bool // something is paused
}

// scanLetIn reads what a statement that lets jobs in answers. They keep their places in
// the order, where looks may have passed: [Engine.below] is to hear of them when that is
// committed.
func (e *Engine) scanLetIn(in *letIns) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var told int
		err := scan(&in.id, &in.queue, &in.kind, &told, &in.more, &in.paused)
		if err == nil {
			e.pausing.Store(in.paused)
		}
		return err
	}
}

// letInNow is the statement that lets jobs in, as far as this engine knows of pauses, and
// the scan of its answer: there may be more if it did not know that something is paused.
func (e *Engine) letInNow(in *letIns) (text string, scan func(scan func(...any) error) error) {
	known := e.pausing.Load()
	if text = e.sql.limit.letInUnpaused; known {
		text = e.sql.limit.letIn
	}
	return text, func(scan func(...any) error) error {
		err := e.scanLetIn(in)(scan)
		in.more = in.more || in.paused && !known
		return err
	}
}

// leaving locks the keys of jobs that are about to change, by their limits; they leave
// with leave. It returns nil if they have none.
func (e *Engine) leaving(ctx context.Context, d db, jobs []int64) (*limitKeys, error) {
	keys, err := e.limitKeysOf(ctx, d, jobs)
	if err != nil || len(keys.key) == 0 {
		return keys, err
	}
	return keys, e.lockLimits(ctx, d, keys)
}

// leaveAll gives up the places of jobs that have changed before, or are gone, some at a
// time.
func (e *Engine) leaveAll(ctx context.Context, jobs []int64) error {
	for some := range slices.Chunk(jobs, 100) {
		if err := e.inTx(ctx, func(ctx context.Context, d db) error {
			keys, err := e.placeKeys(ctx, d, some)
			if err != nil || len(keys.key) == 0 {
				return err
			}
			if err := e.lockLimits(ctx, d, keys); err != nil {
				return err
			}
			return e.leave(ctx, d, some, keys)
		}); err != nil {
			return err
		}
	}
	return nil
}

// placeKeys returns the keys under which jobs hold places or wait for them.
func (e *Engine) placeKeys(ctx context.Context, d db, jobs []int64) (*limitKeys, error) {
	keys := new(limitKeys)
	err := d.query(ctx, e.sql.limit.placeKeys, []any{jobs}, func(scan func(...any) error) error {
		var key []byte
		err := scan(&key)
		keys.key = append(keys.key, key)
		return err
	})
	slices.SortFunc(keys.key, bytes.Compare)
	return keys, err
}

// queueLetIn lets jobs in after others have left. If quiet, nobody is told of them.
func (s *serve) queueLetIn(b *pgx.Batch, keys *limitKeys, in *letIns, quiet bool) {
	if len(keys.key) == 0 {
		return
	}
	channel := s.e.sql.insertChannel
	if quiet {
		channel = ""
	}
	letIn, scan := s.e.letInNow(in)
	b.Queue(letIn, keys.key, channel, letInLot).QueryRow(func(row pgx.Row) error { return scan(row.Scan) })
}

// queueGrant lets jobs in and claims, so that one that is claimed at once changes once. It
// does not while something is paused, as far as this engine knows.
func (s *serve) queueGrant(b *pgx.Batch, f *family) bool {
	if f.claim.granted = f.claim.want > 0 && !s.e.pausing.Load(); !f.claim.granted {
		return false
	}
	l, in := &s.e.sql.limit, &f.in
	b.Queue(l.grant, f.limits.key, letInLot).QueryRow(func(row pgx.Row) error {
		err := s.e.scanLetIn(in)(row.Scan)
		in.more = in.more || in.paused
		return err
	})
	s.queueFetch(b, f.claim)
	b.Queue(l.wakeGranted)
	return true
}

// tellLetIn tells the workers of queues that more jobs of a name wait there than before
// this worker has let some in quietly, and claimed some: mostly it has a slot free for
// each. Of as many as before the others have heard. If it fails, they poll.
func (s *serve) tellLetIn(ctx context.Context, family *family, f *fetch) {
	more, claimed, in := make(map[kindOfQueue]int), make(map[int64]bool), &family.in
	for i, queue := range in.queue {
		more[kindOfQueue{queue, in.kind[i]}]++
	}
	for _, j := range slices.Concat(f.low, f.claimed) {
		more[kindOfQueue{j.queue, j.kind}]--
		claimed[j.id] = true
	}
	if family.claims {
		s.e.below(slices.DeleteFunc(slices.Clone(in.id), func(id int64) bool { return claimed[id] }))
	}
	var queues []string
	for k, n := range more {
		if n > 0 && !slices.Contains(queues, k.queue) {
			queues = append(queues, k.queue)
		}
	}
	if len(queues) > 0 {
		_, _ = s.e.exec(context.WithoutCancel(ctx), s.e.sql.tell, s.e.sql.insertChannel, queues)
	}
}

// letInMore lets all jobs in that wait for places of keys, some in each transaction. The
// keys are in order.
func (e *Engine) letInMore(ctx context.Context, keys [][]byte) error {
	for more := true; more; {
		if err := e.inTx(ctx, func(ctx context.Context, d db) (err error) {
			if err = e.lockLimits(ctx, d, &limitKeys{key: keys}); err == nil {
				more, err = e.letInLots(ctx, d, keys)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// letInCarefully is letInMore where the server may refuse to change one of the jobs:
// that one is set aside, and comes last of its key.
func (s *serve) letInCarefully(ctx context.Context, keys [][]byte) error {
	failed, err := halved([][][]byte{keys}, func(some [][]byte) error { return s.e.letInMore(ctx, some) })
	for _, f := range failed {
		if ferr := s.letInOne(ctx, f.row); ferr != nil {
			err = ferr
		}
	}
	return err
}

// letInOne lets jobs of one key in, one by one.
func (s *serve) letInOne(ctx context.Context, key []byte) error {
	keys := [][]byte{key}
	for range letInLot {
		woken := 0
		err := s.e.inTx(ctx, func(ctx context.Context, d db) (err error) {
			if err = s.e.lockLimits(ctx, d, &limitKeys{key: keys}); err != nil {
				return err
			}
			woken, _, err = s.e.letInSome(ctx, d, keys, 1)
			return err
		})
		switch {
		case err == nil && woken == 0:
			return nil
		case err == nil:
			continue
		case !ofOneRow(err):
			return err
		}
		var bad []int64
		if perr := s.e.inTx(ctx, func(ctx context.Context, d db) error {
			if err := s.e.lockLimits(ctx, d, &limitKeys{key: keys}); err != nil {
				return err
			}
			bad = nil
			return d.query(ctx, s.e.sql.limit.postpone, []any{key}, scanIDs(&bad))
		}); perr != nil || len(bad) == 0 {
			return errors.Join(err, perr)
		}
		s.setAside(ctx, bad[0], "let a task in that waits for a limit", err)
	}
	return nil
}

// leaveCarefully gives up the places of jobs that have ended, and lets others in
// carefully.
func (s *serve) leaveCarefully(ctx context.Context, jobs []int64, keys *limitKeys) error {
	if err := s.e.inTx(ctx, func(ctx context.Context, d db) error {
		if err := s.e.lockLimits(ctx, d, keys); err != nil {
			return err
		}
		return d.query(ctx, s.e.sql.limit.leave, []any{jobs}, nothing)
	}); err != nil {
		return err
	}
	return s.letInCarefully(ctx, keys.key)
}
