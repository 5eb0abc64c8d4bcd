package sqlite

import (
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// rateStatements are those of rates.
type rateStatements struct {
	last, nth, start, prune, back *lite.Stmt
	know, wake, asleep, due, next *lite.Stmt
	after, old, left, forget      *lite.Stmt
}

func (r *rateStatements) texts() map[**lite.Stmt]string {
	return map[**lite.Stmt]string{
		&r.last:  `SELECT k, at FROM @starts WHERE key = ? ORDER BY k DESC LIMIT 1`,
		&r.nth:   `SELECT at FROM @starts WHERE key = ? AND k = ?`,
		&r.start: `INSERT INTO @starts(key, k, at) VALUES(?,?,?)`,
		// Two for each that is added, so that they do not grow, and none reads many.
		&r.prune: `DELETE FROM @starts WHERE key = ?1 AND at <= ?2 AND k IN
			(SELECT k FROM @starts WHERE key = ?1 ORDER BY k LIMIT 2)`,
		&r.back: `UPDATE @starts SET at = ?2 WHERE key = ?1 AND at > ?2`,
		&r.know: `INSERT INTO @rates(key, rule, per) VALUES(?1,?2,?3)
			ON CONFLICT(key) DO UPDATE SET per = ?3 WHERE per != ?3`,
		&r.wake:   `UPDATE @rates SET wake = ? WHERE key = ?`,
		&r.asleep: `UPDATE @rates SET wake = NULL WHERE key = ?`,
		&r.due:    `SELECT key FROM @rates INDEXED BY @rates_wake WHERE wake IS NOT NULL AND wake <= ? ORDER BY wake LIMIT 1000`,
		&r.next:   `SELECT wake FROM @rates INDEXED BY @rates_wake WHERE wake IS NOT NULL ORDER BY wake LIMIT 1`,
		&r.after:  `SELECT key, per, wake IS NOT NULL FROM @rates WHERE key > ? ORDER BY key LIMIT ` + strconv.Itoa(ratesPerSweep),
		&r.old:    `DELETE FROM @starts WHERE key = ? AND at <= ?`,
		&r.left:   `SELECT 1 FROM @starts WHERE key = ? LIMIT 1`,
		&r.forget: `DELETE FROM @rates WHERE key = ?`,
	}
}

// spacingOf is for how long a run counts under a rate.
func spacingOf(per int64) int64 {
	l := engine.Limit{Per: time.Duration(per)}
	return int64(l.Spacing())
}

// rateRoom reports whether one more run may begin under a key, beside those of the
// tasks that hold its places; if not, then not before at. The run k does not begin
// before the spacing of the run k-most is over, whatever became of the time between.
func (t *txn) rateRoom(key string, most, per, held int64) (room bool, at int64, err error) {
	if most <= 0 {
		return false, int64(never), nil
	}
	last, lastAt, err := t.lastStart(key)
	if err != nil {
		return false, 0, err
	}
	if lastAt > t.now { // the clock was set back
		t.db.rates.back.BindText(1, key)
		t.db.rates.back.BindInt(2, t.now)
		if err := t.db.rates.back.Run(); err != nil {
			return false, 0, err
		}
	}
	k := last + held + 1 - most
	if k > last { // its run has not even begun
		return false, t.now + spacingOf(per), nil
	}
	t.db.rates.nth.BindText(1, key)
	t.db.rates.nth.BindInt(2, k)
	began, ok, err := one(t.db.rates.nth)
	if err != nil || !ok {
		return err == nil, 0, err
	}
	at = began + spacingOf(per)
	return at <= t.now, at, nil
}

// lastStart returns the number and the time of the key's last run, zero if it is not
// known any more.
func (t *txn) lastStart(key string) (k, at int64, err error) {
	st := t.db.rates.last
	st.BindText(1, key)
	defer st.Reset()
	if ok, err := st.Step(); err != nil || !ok {
		return 0, 0, err
	}
	return st.Int(0), st.Int(1), nil
}

// began counts a run that begins now under a rate.
func (t *txn) began(l *engine.Limit) error {
	last, at, err := t.lastStart(l.Key)
	if err != nil {
		return err
	}
	if last == 0 {
		if err := t.knowRate(l.Key, l.Rule, int64(l.Per)); err != nil {
			return err
		}
	}
	st := t.db.rates.start
	st.BindText(1, l.Key)
	st.BindInt(2, last+1)
	st.BindInt(3, max(nanos(t.Engine.now()), at)) // its run begins after that; the transaction may have taken long
	if err := st.Run(); err != nil {
		return err
	}
	t.db.rates.prune.BindText(1, l.Key)
	t.db.rates.prune.BindInt(2, t.now-int64(l.Spacing()))
	return t.db.rates.prune.Run()
}

func (t *txn) knowRate(key, rule string, per int64) error {
	st := t.db.rates.know
	st.BindText(1, key)
	st.BindText(2, rule)
	st.BindInt(3, per)
	return st.Run()
}

// wakeRate notes when the next task that waits for the key may begin.
func (t *txn) wakeRate(key, rule string, per, at int64) error {
	if err := t.knowRate(key, rule, per); err != nil || at >= int64(never) {
		return err // SetLimit lets it in
	}
	st := t.db.rates.wake
	st.BindInt(1, at)
	st.BindText(2, key)
	t.plan.due.min(at)
	return st.Run()
}

// openRates lets in what waits for rates whose time has come.
func (t *txn) openRates() error {
	if !t.limited {
		return nil
	}
	var keys []string
	st := t.db.rates.due
	st.BindInt(1, t.now)
	if err := st.Each(func() bool { keys = append(keys, st.Text(0)); return true }); err != nil {
		return err
	}
	for _, key := range keys {
		t.db.rates.asleep.BindText(1, key)
		if err := t.db.rates.asleep.Run(); err != nil {
			return err
		}
		if err := t.letIn(key); err != nil {
			return err
		}
	}
	next, ok, err := one(t.db.rates.next)
	if ok {
		t.plan.due.min(next)
	}
	return err
}

const (
	ratesPerSweep = 300 // keys that one sweep looks at
	ratesAgain    = 20 * time.Millisecond
)

// sweepRates forgets the runs that count no more, and keys without any. It goes on soon
// while most keys are such: else there might be more and more of them.
func (t *txn) sweepRates() error {
	type key struct {
		key   string
		per   int64
		waits bool
	}
	var keys []key
	st := t.db.rates.after
	st.BindText(1, t.plan.lastRate)
	if err := st.Each(func() bool {
		keys = append(keys, key{st.Text(0), st.Int(1), st.Int(2) == 1})
		return true
	}); err != nil {
		return err
	}
	t.plan.lastRate = ""
	forgotten := 0
	for _, k := range keys {
		t.plan.lastRate = k.key
		t.db.rates.old.BindText(1, k.key)
		t.db.rates.old.BindInt(2, t.now-spacingOf(k.per))
		if err := t.db.rates.old.Run(); err != nil {
			return err
		}
		t.db.rates.left.BindText(1, k.key)
		if _, left, err := one(t.db.rates.left); err != nil || left || k.waits {
			if err != nil {
				return err
			}
			continue
		}
		t.db.rates.forget.BindText(1, k.key)
		if err := t.db.rates.forget.Run(); err != nil {
			return err
		}
		forgotten++
	}
	if forgotten > ratesPerSweep/2 {
		t.plan.rates = time.Now().Add(ratesAgain)
	}
	return nil
}
