package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"

	"github.com/taskctx/taskctx/runtime"
)

// River's unique jobs know no time: a key is free when its job has ended, or
// never. Keys are held in a table of their own instead.

// takeKeys takes the keys of a lot for its jobs, whose numbers it thereby
// fixes. It answers for the messages whose key is held, and returns the places
// of the others.
func (e *Engine) takeKeys(ctx context.Context, d db, l *lot, ins []runtime.Inserted) ([]int, error) {
	first := make(map[string]int) // the first message of each key
	later := make(map[int]string) // further messages of a key in the same lot
	for i := range l.Len() {
		m := l.keys[i]
		if m == nil {
			continue
		}
		h := hashKey(m.Key)
		if _, ok := first[h]; ok {
			later[i] = h
		} else {
			first[h] = i
		}
	}
	holders, err := e.holdKeys(ctx, d, l, first)
	if err != nil {
		return nil, err
	}
	var places []int
	for i := range l.Len() {
		m := l.keys[i]
		switch {
		case m == nil:
			places = append(places, i)
		case holders[hashKey(m.Key)].taken && later[i] == "":
			l.id[i] = holders[hashKey(m.Key)].job
			places = append(places, i)
		default:
			ins[i] = runtime.Inserted{ID: e.taskID(holders[hashKey(m.Key)].job), Existing: true}
		}
	}
	return places, nil
}

// holder is who holds a key.
type holder struct {
	job   int64
	taken bool // just now, by us
}

// holdKeys takes those keys that are free, and finds the holders of the others.
// Keys are taken in one order everywhere, so that two calls cannot wait for
// each other.
func (e *Engine) holdKeys(ctx context.Context, d db, l *lot, first map[string]int) (map[string]holder, error) {
	holders := make(map[string]holder, len(first))
	for range 10 {
		var keys [][]byte
		var fors []int64
		for _, h := range slices.Sorted(maps.Keys(first)) {
			if _, ok := holders[h]; !ok {
				keys = append(keys, []byte(h))
				fors = append(fors, l.keys[first[h]].KeyFor.Microseconds())
			}
		}
		if len(keys) == 0 {
			return holders, nil
		}
		add := func(taken bool) func(func(...any) error) error {
			return func(scan func(...any) error) error {
				var key []byte
				var job int64
				if err := scan(&key, &job); err != nil {
					return err
				}
				if _, ok := holders[string(key)]; !ok {
					holders[string(key)] = holder{job, taken}
				}
				return nil
			}
		}
		if err := d.query(ctx, e.sql.takeKeys, []any{keys, fors}, add(true)); err != nil {
			return nil, err
		}
		if len(holders) == len(first) {
			return holders, nil
		}
		if err := d.query(ctx, e.sql.findKeys, []any{keys}, add(false)); err != nil {
			return nil, err
		}
		// A key may have been let go of between the two: then once more.
	}
	return nil, errors.New("a unique key could neither be taken nor found held")
}

// hashKey makes any key fit into an index.
func hashKey(key string) string {
	h := sha256.Sum256([]byte(key))
	return string(h[:])
}
