package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskctx/taskctx/runtime/engine"
)

// River's leader schedules, rescues and cleans. A schema of ours may have no
// River client, so every worker does it, skipping rows that another has
// locked.

// cleanEvery is how often expired records are forgotten.
var cleanEvery = time.Minute // a variable for tests

const (
	// parkGrace is how long a task may be due before it is put aside because
	// no worker knows it.
	parkGrace = 10 * time.Second
	// uniqueEvery is how often jobs with a unique key of River's own are made
	// available, as River's scheduler does.
	uniqueEvery = 5 * time.Second
	// queuesEvery is how often the queues are listed for River's tools.
	queuesEvery = time.Minute
)

// chore is a part of the upkeep that is done now and then, a lot at a time:
// due tasks go before the next lot.
type chore struct {
	every time.Duration
	next  time.Time
	// lot does a bounded part of it, and reports whether there is more.
	lot func(ctx context.Context) (more bool, err error)
}

// upkeep is the chores, each with its time. Only the upkeep's goroutine uses
// it.
type upkeep struct {
	grace  time.Duration // before a task of an unknown name is put aside
	chores []*chore
	sweep  *chore // looks at the keys of limits

	due, unique, parking, parked, expiring lots

	asked bool // whether jobs wait for rates: once, and after each sweep

	searching search
	snapshot  snapshot
}

func newUpkeep(s *serve, w *engine.Worker) upkeep {
	grace := min(max(w.ParkFor/4, 20*time.Millisecond), parkGrace)
	now := time.Now()
	soon := now.Add(cleanEvery / 10) // not at once: many may start together
	sql := &s.e.sql
	u := upkeep{
		grace:    grace,
		due:      lots{doing: "make due tasks available", sql: sql.promote, most: promoteLot},
		unique:   lots{doing: "make due tasks with unique keys available", sql: sql.promoteUnique, most: 1},
		parking:  lots{doing: "put tasks aside that no worker knows", sql: sql.park, most: lotSize},
		parked:   lots{doing: "take back parked tasks", sql: sql.unpark, most: lotSize},
		expiring: lots{doing: "end tasks that no worker knows", sql: sql.expire, most: lotSize},
	}
	search := &chore{every: s.e.cfg.PollInterval, next: now}
	search.lot = func(ctx context.Context) (bool, error) { return s.search(ctx, search) }
	u.sweep = &chore{every: s.e.sweepEvery(), next: now.Add(s.e.sweepEvery()), lot: (&sweeping{s: s}).lot}
	u.chores = []*chore{
		{every: queuesEvery, next: now, lot: s.listQueues},
		{every: once, next: now, lot: s.unpark},
		{every: uniqueEvery, next: now, lot: s.promoteUnique},
		{every: grace, next: now, lot: s.park},
		{every: grace, next: now, lot: s.expire},
		{every: cleanEvery, next: soon, lot: s.newCleaning(0, 0).keys},
		{every: cleanEvery, next: soon, lot: s.newCleaning(-1e11, 0).records},
		{every: cleanEvery, next: soon, lot: s.newCleaning(keepUnsaid/2, keepUnsaid-s.e.cfg.KeepFor.Seconds()).records},
		{every: cleanEvery, next: soon, lot: s.newCleaning(keepFailedUnsaid*3/4, keepFailedUnsaid-s.e.cfg.KeepFailedFor.Seconds()).records},
		{every: snapshotAge / 5, next: now.Add(snapshotAge / 5), lot: s.watchSnapshots},
		{every: headsEvery, next: now.Add(headsEvery / 10), lot: s.newHeads()},
		u.sweep,
		search,
	}
	return u
}

// once is the period of a chore that is done once.
const once = 1 << 62

// Upkeep implements [remote.Store]: it makes due tasks available, and does a
// lot of the chore that has been due the longest.
func (s *serve) Upkeep(ctx context.Context) (next time.Duration, err error) {
	room, err := s.openRates(ctx)
	if err != nil {
		return next, err
	}
	roomAt := time.Now().Add(room)
	next, err = s.promote(ctx)
	if err != nil {
		return next, err
	}
	if err := s.leaveNow(ctx); err != nil {
		return next, err
	}
	if err := s.lookNow(ctx); err != nil {
		return next, err
	}
	wake, bereft, err := s.wakeDue(ctx)
	if err != nil {
		return next, err
	}
	if next < 0 || wake >= 0 && wake < next {
		next = wake
	}
	if bereft {
		if err := s.cancelBereft(ctx); err != nil {
			return next, err
		}
		next = 0
	}
	now := time.Now()
	if left := max(roomAt.Sub(now), 0); room >= 0 && (next < 0 || left < next) {
		next = left
	}
	if s.hurry.Swap(false) {
		s.sweep.next = time.Time{} // the first of all
	}
	c := s.chores[0]
	for _, o := range s.chores {
		if o.next.Before(c.next) {
			c = o
		}
	}
	if !c.next.After(now) {
		more, err := c.lot(ctx)
		if c.next = now; err != nil || !more { // otherwise once more, after the others
			c.next = now.Add(c.every)
		}
		if err != nil {
			return next, err
		}
	}
	for _, o := range s.chores {
		if d := max(o.next.Sub(now), 0); next < 0 || d < next {
			next = d
		}
	}
	return next, nil
}

// lotSize is how many rows a lot of a chore has at most, unless its statement
// says otherwise.
const lotSize = 1000

// listQueues shows the worker's queues to River's tools, and learns which they
// have paused.
func (s *serve) listQueues(ctx context.Context) (bool, error) {
	if _, err := s.e.exec(ctx, s.e.sql.queues, s.Queues); err != nil {
		return false, fmt.Errorf("list the queues: %w", err)
	}
	return false, s.readPaused(ctx)
}

// unpark takes back tasks that were put aside before a worker that knows them
// started.
func (s *serve) unpark(ctx context.Context) (bool, error) {
	args := []any{s.Queues, s.Names}
	return s.do(ctx, &s.parked, args, func(limit int, pass []int64) (int, error) {
		n, err := s.e.exec(ctx, s.e.sql.unpark.all, append(args, pass, limit)...)
		if n > 0 {
			s.News()
		}
		return n, err
	})
}

// promoteLot is how many due tasks are made available with one statement.
const promoteLot = 500

// promoted is the answer of the statement that makes due tasks available.
type promoted struct {
	moved int
	next  float64 // seconds until the next is due, negative if none is soon
	now   time.Time
}

// queuePromote queues the statement for tasks that are due between two times.
func (s *serve) queuePromote(b *pgx.Batch, from, until pgtype.Timestamptz, pass []int64, limit int, p *promoted) {
	ahead := min(s.e.cfg.PollInterval, s.grace).Microseconds() // when the upkeep looks again
	b.Queue(s.e.sql.promote.all, from, until, pass, limit, s.e.sql.insertChannel, ahead).QueryRow(func(row pgx.Row) error {
		var told int
		return row.Scan(&p.moved, &told, &p.next, &p.now)
	})
}

// promote makes due tasks available. It returns how long until the next is
// due, negative if none is soon.
func (s *serve) promote(ctx context.Context) (time.Duration, error) {
	for {
		p := new(promoted)
		from := s.dead.dueFrom()
		more, err := s.do(ctx, &s.due, []any{from, infinity}, func(limit int, pass []int64) (int, error) {
			err := s.promoteLot(ctx, from, pass, limit, p)
			return p.moved, err
		})
		if err != nil {
			return 0, err
		}
		if p.moved > 0 {
			s.NewsUnlessTold()
		}
		if !more {
			if p.next < 0 {
				return -1, nil
			}
			return time.Duration(min(p.next, 3600) * float64(time.Second)), nil
		}
	}
}

func (s *serve) promoteLot(ctx context.Context, from pgtype.Timestamptz, pass []int64, limit int, p *promoted) error {
	b := steered()
	if !s.dead.measureDue() {
		s.queuePromote(b, from, infinity, pass, limit, p)
		return s.e.send(ctx, callTimeout, b)
	}
	l := s.measured(b, func(b *pgx.Batch) { s.queuePromote(b, from, infinity, pass, limit, p) })
	if err := s.e.send(ctx, callTimeout, b); err != nil {
		return err
	}
	s.dead.lookedDue(p.moved, p.moved < limit, *l)
	return nil
}

func (s *serve) promoteUnique(ctx context.Context) (bool, error) {
	args := []any{s.dead.dueFrom(), infinity}
	return s.do(ctx, &s.unique, args, func(limit int, pass []int64) (int, error) {
		var moved, told int
		err := s.e.steeredRow(ctx, s.e.sql.promoteUnique.all, append(args, pass, limit, s.e.sql.insertChannel), &moved, &told)
		return moved, err
	})
}

// kindOfQueue is a task's name in a queue.
type kindOfQueue struct{ queue, kind string }

// queuePark queues the statement that puts unknown tasks aside, of lanes
// between two times each.
func (s *serve) queuePark(
	b *pgx.Batch, in *lanes, since, until []pgtype.Timestamptz, pass []int64, limit int, unknown *[]kindOfQueue,
) {
	b.Queue(s.e.sql.park.all, in.queue, in.priority, since, until, s.Names, s.grace.Microseconds(), pass, limit).
		Query(func(rows pgx.Rows) error {
			var u kindOfQueue
			_, err := pgx.ForEachRow(rows, []any{&u.queue, &u.kind}, func() error {
				*unknown = append(*unknown, u)
				return nil
			})
			return err
		})
}

// tellUnknown logs tasks that were put aside.
func (s *serve) tellUnknown(unknown []kindOfQueue) {
	for _, u := range unknown {
		s.Unknown(u.kind, fmt.Sprintf("no worker of queue %q knows it", u.queue))
	}
}

// park puts unknown tasks aside.
func (s *serve) park(ctx context.Context) (bool, error) {
	in := s.dead.lanes(s.Queues)
	until := slices.Repeat([]pgtype.Timestamptz{infinity}, len(in.queue))
	args := []any{in.queue, in.priority, in.at, until, s.Names, s.grace.Microseconds()}
	return s.do(ctx, &s.parking, args, func(limit int, pass []int64) (int, error) {
		var unknown []kindOfQueue
		b := new(pgx.Batch)
		s.queuePark(b, in, in.at, until, pass, limit, &unknown)
		err := s.e.send(ctx, callTimeout, b)
		if err == nil {
			s.tellUnknown(unknown)
		}
		return len(unknown), err
	})
}

// expire ends tasks that no worker has known for too long. Their parents hear of
// it in the same transaction, which locks the heads of journals first.
func (s *serve) expire(ctx context.Context) (bool, error) {
	args := []any{s.Queues, s.Names, s.ParkFor.Microseconds()}
	return s.do(ctx, &s.expiring, args, func(limit int, pass []int64) (int, error) {
		var due, ended []int64
		if err := s.e.steered(ctx, s.e.sql.expire.first, append(args[:3:3], pass, limit), scanIDs(&due)); err != nil || len(due) == 0 {
			return 0, err
		}
		var queue, kind string
		err := s.e.inTx(ctx, func(ctx context.Context, d db) error {
			ended = nil
			return s.e.endingIn(ctx, d, due, func() error {
				values := append(args[:3:3], due, limit, s.ParkFor.String())
				return d.query(ctx, s.e.sql.expireOf, values, func(scan func(...any) error) error {
					var id int64
					err := scan(&id, &queue, &kind)
					ended = append(ended, id)
					return err
				})
			})
		})
		if err != nil {
			return 0, err
		}
		if len(ended) > 0 {
			s.Warn("tasks have failed that no worker knew", fmt.Errorf("%d tasks, the last %s of queue %q", len(ended), kind, queue))
		}
		s.e.watch.Tell(ended...)
		return len(ended), nil
	})
}
