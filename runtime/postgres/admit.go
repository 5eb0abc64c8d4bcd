package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// claimedJob is a job that this worker has claimed, with its metadata.
type claimedJob struct {
	*job
	own *envelope
}

// admit returns those of the claimed jobs that may begin: it takes the places that
// others lack, and puts aside what has to wait. What it cannot write stays claimed, to
// be given back as an orphan. held is how many places they hold, nil if not known.
func (s *serve) admit(ctx context.Context, claimed []claimedJob, held map[int64]int) ([]claimedJob, error) {
	var limited []claimedJob
	var jobs []int64
	for _, j := range claimed {
		if len(j.own.Limits) > 0 {
			limited, jobs = append(limited, j), append(jobs, j.id)
		}
	}
	if len(limited) == 0 {
		return claimed, nil
	}
	var err error
	if held == nil {
		held, err = s.e.heldBy(ctx, jobs)
	}
	lacking := slices.DeleteFunc(limited, func(j claimedJob) bool { return held[j.id] >= len(j.own.Limits) && !isRated(j.own.Limits) })
	out := make(map[int64]bool) // those that do not begin
	for _, j := range lacking {
		out[j.id] = true
	}
	if err == nil {
		lacking, err = s.beginAll(ctx, lacking, held, out)
	}
	if err == nil && len(lacking) > 0 {
		err = s.enterAll(ctx, lacking, out)
	}
	if err != nil {
		err = fmt.Errorf("take places of limits: %w", err)
	}
	return slices.DeleteFunc(claimed, func(j claimedJob) bool { return out[j.id] }), err
}

// beginAll lets those of the jobs begin that hold all their places, some at a time, and
// notes so in out. It returns the others.
func (s *serve) beginAll(ctx context.Context, jobs []claimedJob, held map[int64]int, out map[int64]bool) ([]claimedJob, error) {
	holding := slices.DeleteFunc(slices.Clone(jobs), func(j claimedJob) bool { return held[j.id] < len(j.own.Limits) })
	for some := range slices.Chunk(holding, 50) {
		begun, err := s.beginHeld(ctx, some)
		if ofOneRow(err) { // one by one, as those that lack places
			break
		}
		if err != nil {
			return nil, err
		}
		for id := range begun {
			out[id] = false
		}
	}
	return slices.DeleteFunc(jobs, func(j claimedJob) bool { return !out[j.id] }), nil
}

// heldBy returns how many places claimed jobs hold: places are taken from a job only while
// its row is locked and it does not run.
func (e *Engine) heldBy(ctx context.Context, jobs []int64) (held map[int64]int, err error) {
	held = make(map[int64]int)
	err = e.steered(ctx, e.sql.limit.held, []any{jobs}, scanHeld(held))
	return held, err
}

func scanHeld(held map[int64]int) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var job int64
		var n int
		err := scan(&job, &n)
		held[job] = n
		return err
	}
}

// enterAll takes the places of claimed jobs, some at a time, but for those that the
// server refuses to change. It notes in out which do not begin.
func (s *serve) enterAll(ctx context.Context, jobs []claimedJob, out map[int64]bool) error {
	failed, err := halved(slices.Collect(slices.Chunk(jobs, 50)), func(some []claimedJob) error {
		aside, err := s.enterClaimed(ctx, some)
		if err == nil {
			for _, j := range some {
				out[j.id] = aside[j.id]
			}
		}
		return err
	})
	for _, f := range failed {
		s.setAside(ctx, f.row.id, "put a task aside that waits for a limit", f.err)
	}
	return err
}

// entering is claimed jobs that take their places.
type entering struct {
	s      *serve
	jobs   []claimedJob
	ids    []int64
	keys   *limitKeys
	locked int
	has    map[int64]map[int]bool
	rooms  rooms
	aside  map[int64]bool
	in     letIns
}

// enterClaimed takes the places of claimed jobs, in their order, and returns those
// that wait for one.
func (s *serve) enterClaimed(ctx context.Context, some []claimedJob) (aside map[int64]bool, err error) {
	n := &entering{s: s, jobs: some, keys: new(limitKeys)}
	for _, j := range some {
		n.keys.add(j.own.Limits...)
		n.ids = append(n.ids, j.id)
	}
	n.keys = n.keys.sorted()
	for range maxClashes {
		err = s.e.inTrips(ctx, n.look, n.decide)
		if !errors.Is(err, errForgotten) {
			break
		}
	}
	if err == nil {
		s.e.below(n.in.id)
	}
	if err == nil && n.in.more {
		if err := s.letInCarefully(ctx, n.keys.key); err != nil {
			s.Warn("let tasks in that wait for a limit; it is tried again later", err)
		}
	}
	return n.aside, err
}

// look locks the keys, and reads what is held.
func (n *entering) look(ctx context.Context, d db) (err error) {
	e, k := n.s.e, n.keys
	n.locked = 0
	err = d.query(ctx, e.sql.limit.addKeys, []any{k.key, k.ruleKey, k.rule, k.per}, nothing)
	if err == nil {
		err = d.query(ctx, e.sql.limit.lockKeys, []any{k.key}, func(func(...any) error) error { n.locked++; return nil })
	}
	if err == nil {
		n.has, err = e.placesOf(ctx, d, n.ids)
	}
	if err == nil {
		n.rooms, err = e.readRooms(ctx, d, k)
	}
	return err
}

// decide lets jobs begin, or puts them aside.
func (n *entering) decide(ctx context.Context, d db) error {
	if n.locked != len(n.keys.key) {
		return errForgotten
	}
	e := n.s.e
	n.aside, n.in = make(map[int64]bool), letIns{}
	p, waiting, began, open := new(places), new(waiters), new(starts), new(limitKeys)
	for i, key := range n.keys.key {
		if n.rooms[string(key)].open {
			open.add1(n.keys, i)
		}
	}
	for _, j := range n.jobs {
		t := &entrant{job: j.id, queue: j.queue, kind: j.kind, limits: j.own.Limits, priority: int16(j.priority), due: &j.scheduledAt,
			has: n.has[j.id], begins: true}
		if p.enter(n.rooms, t); t.waits != "" {
			n.aside[j.id] = true
			waiting.add(j.id, int16(j.attempt), t.waits, j.own.Limits)
		} else {
			began.add(j.id, j.own.Limits)
		}
	}
	if err := e.addPlaces(ctx, d, p); err != nil {
		return err
	}
	if err := e.begin(ctx, d, began); err != nil {
		return err
	}
	if len(n.aside) > 0 {
		if err := d.query(ctx, e.sql.limit.putAsideOwn, waiting.args(n.s.owner), nothing); err != nil {
			return err
		}
		open.join(&waiting.keys)
	}
	if open = open.sorted(); len(open.key) > 0 {
		letIn, scan := e.letInNow(&n.in)
		if err := d.query(ctx, letIn, []any{open.key, e.sql.insertChannel, letInLot}, scan); err != nil {
			return err
		}
	}
	return e.wakeRates(ctx, d, n.keys)
}

// placesOf returns which places jobs hold.
func (e *Engine) placesOf(ctx context.Context, d db, jobs []int64) (map[int64]map[int]bool, error) {
	has := make(map[int64]map[int]bool)
	err := d.query(ctx, e.sql.limit.placesOf, []any{jobs}, func(scan func(...any) error) error {
		var job int64
		var n int
		err := scan(&job, &n)
		if has[job] == nil {
			has[job] = make(map[int]bool)
		}
		has[job][n] = true
		return err
	})
	return has, err
}

// waiters are jobs to put aside, by columns.
type waiters struct {
	job     []int64
	attempt []int16
	rule    []string
	keys    limitKeys
}

func (w *waiters) add(job int64, attempt int16, rule string, limits []engine.Limit) {
	w.job, w.attempt, w.rule = append(w.job, job), append(w.attempt, attempt), append(w.rule, rule)
	w.keys.add(limits...)
}

func (w *waiters) args(owner string) []any { return []any{owner, w.job, w.attempt, w.rule} }

// alone reports whether the lot needs a transaction of its own.
func (l *lot) alone() bool { return l.keys != nil || l.limited != nil }

// unplaced makes the tasks of the lot take their places when they are claimed: in a
// transaction of the caller's their keys would stay locked until its end. The order of
// limits that keep one is that of enqueueing, and needs the lock.
func (l *lot) unplaced() error {
	for _, m := range l.limited {
		if slices.ContainsFunc(m.Limits, func(l engine.Limit) bool { return l.Ordered }) {
			return fmt.Errorf("task %s: an order within a transaction: %w", m.Name, engine.ErrUnsupported)
		}
	}
	l.limited = nil
	return nil
}

// enterNew takes the places of a lot's new jobs, which have their numbers, or notes for
// what they wait, and calls store with the rules for which, by the places in the lot. It
// takes a round trip for what it reads, and one for what it and store write: store queues
// its statements.
func (e *Engine) enterNew(ctx context.Context, d db, l *lot, store func(d db, waits []string) error) error {
	n := &newcomers{lot: l, keys: new(limitKeys)}
	for _, m := range l.limited {
		n.keys.add(m.Limits...)
	}
	n.keys = n.keys.sorted()
	if err := n.look(ctx, e, d); err != nil {
		return err
	}
	p, waits := new(places), make([]string, l.Len())
	for i := range l.Len() {
		if m := l.limited[i]; m != nil {
			t := &entrant{job: l.id[i], queue: l.queue[i], kind: l.kind[i], limits: m.Limits, priority: l.priority[i], due: l.due[i]}
			of := n.asks[i]
			t.later, t.paused = n.later[of], n.paused[of]
			p.enter(n.rooms, t)
			waits[i] = t.waits
		}
	}
	return together(ctx, d, func(d db) error {
		if err := e.writePlaces(ctx, d, e.sql.limit.addNewPlaces, p); err != nil {
			return err
		}
		if err := e.wakeRates(ctx, d, n.keys); err != nil {
			return err
		}
		return store(d, waits)
	})
}

// newcomers are a lot's jobs that take their places.
type newcomers struct {
	lot           *lot
	keys          *limitKeys
	rooms         rooms
	asks          []int        // by the places in the lot, what is asked of each
	later, paused map[int]bool // by what was asked
}

// look locks the keys, and reads what is held, which jobs are due later, by the server's
// clock, and which of the others are paused.
func (n *newcomers) look(ctx context.Context, e *Engine, d db) error {
	k := n.keys
	queues, kinds, dues := n.questions()
	for range 10 {
		known, locked, paused := e.pausing.Load(), 0, false
		n.rooms, n.later, n.paused = make(rooms, len(k.key)), make(map[int]bool), make(map[int]bool)
		if err := together(ctx, d, func(d db) error {
			if err := d.query(ctx, e.sql.limit.addKeys, []any{k.key, k.ruleKey, k.rule, k.per}, nothing); err != nil {
				return err
			}
			count := func(func(...any) error) error { locked++; return nil }
			if err := d.query(ctx, e.sql.limit.lockKeys, []any{k.key}, count); err != nil {
				return err
			}
			if err := d.query(ctx, e.sql.limit.notDue, []any{queues, dues, kinds}, n.scanNotDue); err != nil {
				return err
			}
			text := e.sql.limit.roomsUnpaused
			if known {
				text = e.sql.limit.rooms
			}
			return d.query(ctx, text, []any{k.key}, e.scanRooms(k, n.rooms, &paused))
		}); err != nil {
			return fmt.Errorf("look at the keys of limits: %w", err)
		}
		switch {
		case locked != len(k.key): // one was forgotten before it was locked
			continue
		case paused && !known:
			var err error
			n.rooms, err = e.readRooms(ctx, d, k)
			return err
		}
		return nil
	}
	return errForgotten
}

// questions are what is asked of the lot's jobs, by columns: mostly one of all.
func (n *newcomers) questions() (queues, kinds []string, dues []*time.Time) {
	type question struct {
		queue, kind string
		due         time.Time
	}
	asked := make(map[question]int)
	l := n.lot
	n.asks = make([]int, l.Len())
	for i := range n.asks {
		q := question{queue: l.queue[i], kind: l.kind[i]}
		if l.due[i] != nil {
			q.due = *l.due[i]
		}
		of, ok := asked[q]
		if !ok {
			of = len(queues)
			asked[q] = of
			queues, kinds, dues = append(queues, l.queue[i]), append(kinds, l.kind[i]), append(dues, l.due[i])
		}
		n.asks[i] = of
	}
	return queues, kinds, dues
}

func (n *newcomers) scanNotDue(scan func(...any) error) error {
	var of int
	var isLater bool
	err := scan(&of, &isLater)
	if isLater {
		n.later[of-1] = true
	} else {
		n.paused[of-1] = true
	}
	return err
}

// enterAgain takes the places of a job that was retried by hand, or puts it aside.
// Its keys are locked.
func (e *Engine) enterAgain(ctx context.Context, d db, j *job, limits []engine.Limit, keys *limitKeys) error {
	r, err := e.readRooms(ctx, d, keys)
	if err != nil {
		return err
	}
	p, w := new(places), new(waiters)
	t := &entrant{job: j.id, queue: j.queue, kind: j.kind, limits: limits, priority: int16(j.priority)}
	p.enter(r, t)
	if err := e.addPlaces(ctx, d, p); err != nil || t.waits == "" {
		return err
	}
	w.add(j.id, 0, t.waits, nil)
	if err := d.query(ctx, e.sql.limit.putAside, w.args(""), nothing); err != nil {
		return err
	}
	if err := e.letIn(ctx, d, keys.key); err != nil {
		return err
	}
	return e.wakeRates(ctx, d, keys)
}
