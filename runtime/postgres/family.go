package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

// family is outcomes of durable tasks and of their children: they are written in a
// transaction that locks the heads of journals first.
type family struct {
	outcomes []*outcome
	ended    []*outcome // those that do not suspend
	waits    suspensions
	children arrivals
	failing  []int64 // the jobs of durable tasks that may fail or be cancelled
	heads    map[int64]struct{}
	waiting  []int64 // the jobs that suspend
	again    []int64 // the jobs that do not end: those, and others that will run again
	woken    []int64 // the jobs that wait no more, when it was written
	limited  []int64 // the jobs with limits
	limits   *limitKeys
	quiet    bool   // nobody is told of the jobs that are let in
	in       letIns // those
	// claim is set if the transaction claims as well, and claims if it does.
	claim  *fetch
	claims bool
}

// familyOf separates the outcomes that have to do with journals.
func (s *serve) familyOf(outcomes []*outcome) (f *family, others []*outcome) {
	if !slices.ContainsFunc(outcomes, ofFamily) {
		return nil, outcomes
	}
	f = &family{heads: make(map[int64]struct{}), limits: new(limitKeys)}
	for _, o := range outcomes {
		if !ofFamily(o) {
			others = append(others, o)
			continue
		}
		m, job := o.Of.Message, o.Of.Claim.job
		if f.outcomes = append(f.outcomes, o); runsAgain(o) {
			f.again = append(f.again, job)
		}
		if ofJournal(o) && o.Kind != engine.OutcomeSucceed {
			f.failing = append(f.failing, job)
			f.heads[job] = struct{}{}
		}
		if holdsPlaces(m) {
			f.limited = append(f.limited, job)
			f.limits.add(m.Limits...)
		}
		if m.Meta.Entry != "" {
			if parent, ok := s.e.jobOf(m.Meta.Parent); ok {
				f.children.add(o, parent)
				f.heads[parent] = struct{}{}
			}
		}
		if o.Kind == engine.OutcomeSuspend {
			f.waits.add(o)
			f.waiting = append(f.waiting, job)
		} else {
			f.ended = append(f.ended, o)
		}
	}
	f.limits = f.limits.sorted()
	return f, others
}

// ofFamily reports that an outcome has to do with journals, or with limits, whose places
// others wait for.
func ofFamily(o *outcome) bool { return holdsPlaces(o.Of.Message) || ofJournal(o) }

// holdsPlaces reports whether a task holds places while it runs. A run that counts under a
// rate does so whatever becomes of it.
func holdsPlaces(m *engine.Message) bool {
	return slices.ContainsFunc(m.Limits, func(l engine.Limit) bool { return l.Per == 0 })
}

// ofJournal reports that an outcome has to do with journals: a parent may have to hear
// of it, or children are to be cancelled after it.
func ofJournal(o *outcome) bool {
	m := &o.Of.Message.Meta
	return o.Kind == engine.OutcomeSuspend || m.Entry != "" ||
		(m.Version >= engine.WireDurable || o.Durable) && o.Kind != engine.OutcomeSucceed
}

// mayClaim reports whether a transaction that writes them may claim, too.
func (f *family) mayClaim() bool {
	return len(f.heads) == 0 && len(f.limited) > 0 && len(f.again) == 0
}

// writeFamily writes them all, or none, and returns those that still owned their
// tasks.
func (s *serve) writeFamily(ctx context.Context, f *family) (map[claim]struct{}, error) {
	written, err := s.writeFamilyAnd(ctx, f, true)
	if !ofOneRow(err) || len(f.limited) == 0 {
		return written, err
	}
	// It may be a task that is to be let in.
	if written, err = s.writeFamilyAnd(ctx, f, false); err == nil {
		if err := s.leaveCarefully(ctx, f.limited, f.limits); err != nil {
			s.Warn("give up places of limits; it is tried again later", err)
		}
	}
	return written, err
}

// writeFamilyAnd is writeFamily, with or without the places of limits.
func (s *serve) writeFamilyAnd(ctx context.Context, f *family, leave bool) (map[claim]struct{}, error) {
	var written map[claim]struct{}
	plain, rest := split(f.ended, nil)
	heads := slices.Sorted(maps.Keys(f.heads))
	// All have succeeded and have limits: they give up their places as they end.
	left := leave && len(plain.id) == len(f.limited) && len(plain.id) == len(f.outcomes)
	claims, tried := false, false // in its transaction; only once
	err := s.e.bounded(ctx, stepTimeout, func(ctx context.Context) error {
		return s.e.inBatch(ctx, func(b *pgx.Batch) {
			written, f.in, f.woken = make(map[claim]struct{}, len(f.outcomes)), letIns{}, nil
			if len(f.waiting) > 0 {
				b.Queue(s.e.sql.journal.makeHeads, f.waiting)
			}
			if len(heads) > 0 {
				b.Queue(s.e.sql.journal.lockHeads, heads)
			}
			if len(f.limited) > 0 {
				b.Queue(s.e.sql.limit.lockKeys, f.limits.key)
			}
			if left {
				b.Queue(s.e.sql.limit.succeed, s.owner, plain.id, plain.attempt).Query(collect(written))
			} else {
				s.queueSucceed(b, plain, written)
				s.queueConclude(b, rest, written)
			}
			if w := &f.waits; len(w.id) > 0 {
				b.Queue(s.e.sql.journal.suspend, s.owner, w.id, w.attempt, w.after, w.seen, w.failed, w.need, w.fast, w.name, w.own, w.empty).
					Query(f.collectSuspended(written))
			}
			if c := &f.children; len(c.id) > 0 {
				_ = queued{b}.query(ctx, s.e.sql.journal.arriveHere,
					[]any{c.id, s.e.sql.insertChannel, c.parent, c.name, c.attempt, c.result, s.owner}, scanWoken(&f.woken))
			}
			if len(f.failing) > 0 {
				b.Queue(s.e.sql.journal.markBereft, f.failing)
			}
			if leave && !left {
				b.Queue(s.e.sql.limit.leave, f.limited)
			}
			claims = leave && f.claim != nil && !tried
			if tried = true; leave {
				s.queueNext(b, f, claims)
			}
		})
	})
	if claims && err == nil {
		f.claims = true
	}
	if left && err == nil {
		s.leaveLate(f, written)
	}
	if err == nil && f.in.more {
		if err := s.letInCarefully(ctx, f.limits.key); err != nil {
			s.Warn("let tasks in that wait for a limit; it is tried again later", err)
		}
	}
	return written, err
}

// queueNext lets jobs in where others have left, and claims if it may.
func (s *serve) queueNext(b *pgx.Batch, f *family, claims bool) {
	if claims {
		f.claim.held = make(map[int64]int)
		if s.queueGrant(b, f) {
			return
		}
	}
	s.queueLetIn(b, f.limits, &f.in, f.quiet)
	if claims {
		s.queueFetch(b, f.claim)
	}
}

// leaveLate has the upkeep give up the places of jobs that another one has ended meanwhile.
func (s *serve) leaveLate(f *family, written map[claim]struct{}) {
	for _, o := range f.outcomes {
		if _, ok := written[o.Of.Claim]; !ok {
			s.leaveLater(o.Of.Claim.job)
		}
	}
}

// writeFamilies is writeFamily for a step: it keeps what it cannot write. If beside, the
// step may claim meanwhile; finish returns when it is done, and is to be called once. Known
// is set if it is known already that they are written.
func (s *serve) writeFamilies(ctx context.Context, f *family, beside bool) (finish func() error, known bool) {
	var written map[claim]struct{}
	var err error
	if !beside || len(f.outcomes) < wide || len(f.limited) > 0 {
		written, err = s.writeFamily(ctx, f)
		err = s.familyWritten(ctx, f, written, err)
		return func() error { return err }, err == nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		written, err = s.writeFamily(ctx, f)
	}()
	return func() error {
		<-done
		return s.familyWritten(ctx, f, written, err)
	}, false
}

func (s *serve) familyWritten(ctx context.Context, f *family, written map[claim]struct{}, err error) error {
	switch {
	case err == nil:
		s.settle(ctx, f.outcomes, written)
		s.dead.below(append(f.woken, released(f.outcomes, nil)...))
		if !f.claims { // else the step tells which it has not claimed
			s.e.below(f.in.id)
		}
		if len(f.heads) > 0 || !f.quiet { // else the step claims what it has let in
			s.News() // a parent may be due
		}
	case ofOneRow(err):
		return s.writeSome(ctx, f.outcomes, nil)
	default:
		s.PutBack(f.outcomes)
	}
	return err
}

// collectSuspended is collect for the jobs that suspend.
func (f *family) collectSuspended(written map[claim]struct{}) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var c claim
		var met bool
		_, err := pgx.ForEachRow(rows, []any{&c.job, &c.attempt, &met}, func() error {
			if written[c] = struct{}{}; met {
				f.woken = append(f.woken, c.job)
			}
			return nil
		})
		return err
	}
}

// scanWoken adds the jobs that a statement has woken.
func scanWoken(woken *[]int64) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var jobs []int64
		var told int64
		err := scan(&jobs, &told)
		*woken = append(*woken, jobs...)
		return err
	}
}

// suspensions are outcomes of suspended runs by columns.
type suspensions struct {
	id, after, seen, failed, need []int64
	attempt                       []int16
	fast                          []bool
	name, own, empty              []string
}

func (c *suspensions) add(o *outcome) {
	p := memoPatch(o.Memo)
	p.setReason(o.Reason)
	p.setAgain(false)
	own, empty, _ := p.texts()
	var w engine.Wait
	if o.Wait != nil {
		w = *o.Wait
	}
	after := (max(o.After, 0) + 999*time.Nanosecond).Microseconds() // not earlier, nor 0
	if o.After <= 0 && w.Need <= 0 {
		after = -1
	}
	c.id = append(c.id, o.Of.Claim.job)
	c.attempt = append(c.attempt, o.Of.Claim.attempt)
	c.after = append(c.after, after)
	c.seen = append(c.seen, w.Seen)
	c.failed = append(c.failed, w.Failed)
	c.need = append(c.need, w.Need)
	c.fast = append(c.fast, w.FailFast)
	c.name = append(c.name, w.Name)
	c.own = append(c.own, own)
	c.empty = append(c.empty, empty)
}

// arrivals are outcomes of children, whose parents may have to hear of them, by columns.
type arrivals struct {
	id, parent []int64
	name       []string
	attempt    []int16
	result     []*string
}

func (c *arrivals) add(o *outcome, parent int64) {
	c.id = append(c.id, o.Of.Claim.job)
	c.parent = append(c.parent, parent)
	c.name = append(c.name, o.Of.Message.Meta.Entry)
	c.attempt = append(c.attempt, o.Of.Claim.attempt)
	var result *string
	if o.Result != nil {
		result = new(string(o.Result))
	}
	c.result = append(c.result, result)
}

// arrive writes the ends of jobs that have ended without a run's outcome into
// their parents' journals, and notes that their own children are to be cancelled.
func (e *Engine) arrive(ctx context.Context, jobs ...int64) error {
	if len(jobs) == 0 {
		return nil
	}
	return e.inTx(ctx, func(ctx context.Context, d db) error { return e.arriveIn(ctx, d, jobs) })
}

// arriveIn is arrive in a transaction. The heads need not be locked before.
func (e *Engine) arriveIn(ctx context.Context, d db, jobs []int64) error {
	return e.endingIn(ctx, d, jobs, func() error { return nil })
}

// endingIn calls end, which ends jobs in a transaction, with the heads of these
// journals and of their parents' locked. Then it writes the ends down.
func (e *Engine) endingIn(ctx context.Context, d db, jobs []int64, end func() error) error {
	heads, err := e.headsOf(ctx, d, jobs)
	if err != nil {
		return err
	}
	if err := d.query(ctx, e.sql.journal.lockHeads, []any{heads}, nothing); err != nil {
		return err
	}
	keys, err := e.leaving(ctx, d, jobs)
	if err == nil {
		err = end()
	}
	if err != nil {
		return err
	}
	if err := d.query(ctx, e.sql.journal.arrive, []any{jobs, e.sql.insertChannel}, nothing); err != nil {
		return err
	}
	if err := d.query(ctx, e.sql.journal.markBereft, []any{jobs}, nothing); err != nil {
		return err
	}
	return e.leave(ctx, d, jobs, keys)
}

// headsOf returns the jobs and their parents, in order.
func (e *Engine) headsOf(ctx context.Context, d db, jobs []int64) ([]int64, error) {
	heads := slices.Clone(jobs)
	if err := d.query(ctx, e.sql.journal.parents, []any{jobs}, scanIDs(&heads)); err != nil {
		return nil, err
	}
	slices.Sort(heads)
	return slices.Compact(heads), nil
}
