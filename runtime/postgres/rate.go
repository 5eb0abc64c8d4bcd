package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// starts are runs that begin under rates, by columns.
type starts struct {
	job     []int64
	n       []int16
	key     [][]byte
	spacing []int64
	most    []int32
	keys    limitKeys
}

// isRated reports whether there is a rate among limits.
func isRated(limits []engine.Limit) bool {
	return slices.ContainsFunc(limits, func(l engine.Limit) bool { return l.Per > 0 })
}

// rated are the keys of rates among these.
func (k *limitKeys) rated() (keys [][]byte) {
	for i, per := range k.per {
		if per > 0 {
			keys = append(keys, k.key[i])
		}
	}
	return keys
}

func (b *starts) add(job int64, limits []engine.Limit) {
	for n, l := range limits {
		if l.Per > 0 {
			b.job, b.n, b.key = append(b.job, job), append(b.n, int16(n)), append(b.key, limitHash(l.Key))
			b.spacing, b.most = append(b.spacing, l.Spacing().Microseconds()), append(b.most, mostOf(l))
			b.keys.add(l)
		}
	}
}

// begin counts runs under their rates, whose keys are locked.
func (e *Engine) begin(ctx context.Context, d db, b *starts) error {
	if len(b.job) == 0 {
		return nil
	}
	if err := d.query(ctx, e.sql.limit.begin, []any{b.job, b.n, b.key, b.spacing}, nothing); err != nil {
		return fmt.Errorf("count runs under rates: %w", err)
	}
	return nil
}

// beginHeld counts the runs of claimed jobs that hold all their places, in one round trip,
// and returns those that begin: all, unless SetLimit has set fewer. The keys are locked for
// no longer than the server takes, since all that begin under a rate come one by one.
func (s *serve) beginHeld(ctx context.Context, jobs []claimedJob) (begun map[int64]bool, err error) {
	b := new(starts)
	for _, j := range jobs {
		b.add(j.id, j.own.Limits)
	}
	keys, in := b.keys.sorted(), new(letIns)
	err = s.e.inTrips(ctx, func(ctx context.Context, d db) error {
		begun, in = make(map[int64]bool, len(jobs)), new(letIns)
		if err := s.e.lockLimits(ctx, d, keys); err != nil {
			return err
		}
		if err := d.query(ctx, s.e.sql.limit.beginHeld, []any{b.job, b.n, b.key, b.spacing, b.most}, func(scan func(...any) error) error {
			var job int64
			err := scan(&job)
			begun[job] = true
			return err
		}); err != nil {
			return err
		}
		args := []any{keys.key, s.e.sql.insertChannel, letInLot}
		if err := d.query(ctx, s.e.sql.limit.letInOpen, args, s.e.scanLetIn(in)); err != nil {
			return err
		}
		return s.e.wakeRates(ctx, d, keys)
	})
	if err != nil {
		return nil, fmt.Errorf("count runs under rates: %w", err)
	}
	s.e.below(in.id)
	if in.more {
		if err := s.letInCarefully(ctx, keys.key); err != nil {
			s.Warn("let tasks in that wait for a rate; it is tried again later", err)
		}
	}
	return begun, nil
}

// wakeRates notes when the rates among locked keys have room for jobs that wait.
func (e *Engine) wakeRates(ctx context.Context, d db, keys *limitKeys) error {
	rated := keys.rated()
	if len(rated) == 0 {
		return nil
	}
	e.rates.Store(true)
	args := []any{rated, e.sql.dueChannel, e.cfg.PollInterval.Microseconds()}
	if err := d.query(ctx, e.sql.limit.wakeRates, args, nothing); err != nil {
		return fmt.Errorf("note when a rate has room: %w", err)
	}
	return nil
}

// rateTaken is when to look again at a rate whose time has come and that another worker
// has locked: whoever locks it lets in.
const rateTaken = 10 * time.Millisecond

// openRates lets jobs in that wait for rates whose time has come. It returns how long it
// takes until there are more, negative if none wait.
func (s *serve) openRates(ctx context.Context) (next time.Duration, err error) {
	if s.asked && !s.e.rates.Load() {
		return -1, nil
	}
	s.asked = true
	for opened := true; ; {
		var seconds float64
		var any bool
		if err := s.e.row(ctx, s.e.sql.limit.nextRate, nil, &seconds, &any); err != nil || !any {
			return -1, err
		}
		s.e.rates.Store(true)
		switch {
		case seconds > 0:
			return time.Duration(min(seconds, 3600) * float64(time.Second)), nil
		case !opened:
			return rateTaken, nil
		}
		if opened, err = s.openSome(ctx); err != nil {
			return -1, fmt.Errorf("let tasks in that wait for a rate: %w", err)
		}
	}
}

// openSome lets jobs in under some rates whose time has come, and reports whether there
// was one that nobody else had locked.
func (s *serve) openSome(ctx context.Context) (opened bool, err error) {
	keys, in := new(limitKeys), new(letIns)
	err = s.e.inTrips(ctx, func(ctx context.Context, d db) error {
		keys = new(limitKeys)
		return d.query(ctx, s.e.sql.limit.openRates, []any{keysLot}, func(scan func(...any) error) error {
			var key []byte
			var per int64
			err := scan(&key, &per)
			keys.key, keys.per = append(keys.key, key), append(keys.per, per)
			return err
		})
	}, func(ctx context.Context, d db) error {
		if len(keys.key) == 0 {
			return nil
		}
		letIn, scan := s.e.letInNow(in)
		if err := d.query(ctx, letIn, []any{keys.key, s.e.sql.insertChannel, letInLot}, scan); err != nil {
			return err
		}
		return s.e.wakeRates(ctx, d, keys)
	})
	if err == nil {
		s.e.below(in.id)
	}
	if len(keys.key) > 0 && (in.more && err == nil || ofOneRow(err)) {
		err = s.letInCarefully(ctx, keys.key)
		if err == nil {
			err = s.e.inTx(ctx, func(ctx context.Context, d db) error { return s.e.wakeRates(ctx, d, keys) })
		}
	}
	return len(keys.key) > 0, err
}
