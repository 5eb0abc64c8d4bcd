package sqlite

import (
	"errors"

	"github.com/taskctx/taskctx/runtime/engine"
)

// want is what a task wants of a key.
type want struct {
	key, rule string
	most, per int64
	ordered   bool
}

func wantOf(l *engine.Limit) want {
	return want{key: l.Key, rule: l.Rule, most: int64(l.Most), per: int64(l.Per), ordered: l.Ordered}
}

// heldOf is how many tasks hold a place of the key.
func (t *txn) heldOf(key string) (int64, error) {
	t.db.places.held.BindText(1, key)
	held, _, err := one(t.db.places.held)
	return held, err
}

// room reports whether a key of which so many places are held has one more. It notes
// when a rate has.
func (t *txn) room(w want, held int64) (bool, error) {
	if w.ordered {
		return held < 1, nil
	}
	most, err := t.mostOf(w)
	if err != nil {
		return false, err
	}
	if w.per == 0 {
		return held < most, nil
	}
	room, at, err := t.rateRoom(w.key, most, w.per, held)
	if err != nil || room {
		return room, err
	}
	return false, t.wakeRate(w.key, w.rule, w.per, at)
}

// mostOf is how many places a key has, by SetLimit if it has set one: mostly it has for none,
// which is asked once in a transaction.
func (t *txn) mostOf(w want) (int64, error) {
	if t.sets == unasked {
		_, ok, err := one(t.db.places.anySet)
		if err != nil {
			return 0, err
		}
		if t.sets = setNone; ok {
			t.sets = setSome
		}
	}
	if t.sets == setNone {
		return w.most, nil
	}
	t.db.places.most.BindText(1, w.rule)
	set, ok, err := one(t.db.places.most)
	if ok {
		return set, err
	}
	return w.most, err
}

// sets is what a transaction knows of limits that SetLimit has set.
type sets int8

const (
	unasked sets = iota
	setNone
	setSome
)

// admit takes the places that a task lacks which is about to run. If there is none
// it notes that the task waits for it, and returns which limit that is, else -1, and
// the run counts under the task's rates. It changes no task: the caller reads them.
func (t *txn) admit(r *row) (int, error) {
	has := make(map[int]bool)
	st := t.db.places.of
	st.BindInt(1, r.seq)
	if err := st.Each(func() bool {
		has[int(st.Int(0))] = st.Int(3) == 1
		return true
	}); err != nil {
		return -1, err
	}
	ls := r.msg.Limits
	for n := range ls {
		if has[n] {
			continue
		}
		room, err := t.roomNow(&ls[n])
		if err != nil {
			return n, err
		}
		if room && ls[n].Per > 0 {
			continue // its run takes the place, unless the task has to wait for another
		}
		for i := range n {
			if !room && ls[i].Per > 0 && !has[i] {
				err = errors.Join(err, t.addPlace(r.seq, r.msg, i, true, r.due, turnOf(r.seq)))
			}
		}
		if err = errors.Join(err, t.addPlace(r.seq, r.msg, n, room, r.due, turnOf(r.seq))); err != nil || !room {
			return n, err
		}
	}
	return -1, t.beginRated(r, has)
}

// beginRated counts the run of a task that has its places under the task's rates.
func (t *txn) beginRated(r *row, has map[int]bool) error {
	for n := range r.msg.Limits {
		l := &r.msg.Limits[n]
		if l.Per == 0 {
			continue
		}
		if has[n] {
			if err := t.dropPlace(r.seq, int64(n)); err != nil {
				return err
			}
		}
		if err := t.began(l); err != nil {
			return err
		}
	}
	return nil
}

// roomNow reports whether a task that comes now gets a place: others that wait go
// first.
func (t *txn) roomNow(l *engine.Limit) (bool, error) {
	t.db.places.free.BindText(1, l.Key)
	held, _, err := one(t.db.places.free)
	if err != nil || held < 0 {
		return false, err
	}
	return t.room(wantOf(l), held)
}

func (t *txn) dropPlace(seq, n int64) error {
	t.db.places.drop.BindInt(1, seq)
	t.db.places.drop.BindInt(2, n)
	return t.db.places.drop.Run()
}
