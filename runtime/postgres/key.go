package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
)

// River's unique jobs know no time, and hold their keys in another way. So
// keys are held in a table of their own. When another task wants a key, its
// holder's job decides: ending or deleting a job, by any program, frees its
// key.

// takeKeys takes the keys of a lot, whose jobs have their numbers. It answers
// for the messages whose key is held, and returns the places of the others.
func (e *Engine) takeKeys(ctx context.Context, d db, l *lot, ins []engine.Inserted) ([]int, error) {
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
	wanted := make(map[string]wish, len(first))
	for h, i := range first {
		wanted[h] = wish{l.id[i], l.keys[i]}
	}
	holders, err := e.holdKeys(ctx, d, wanted)
	if err != nil {
		return nil, err
	}
	var places []int
	for i := range l.Len() {
		m := l.keys[i]
		if m == nil {
			places = append(places, i)
			continue
		}
		h := hashKey(m.Key)
		if holder := holders[h]; holder == wanted[h].job && later[i] == "" {
			places = append(places, i)
		} else {
			ins[i] = engine.Inserted{ID: e.taskID(holder), Existing: true}
		}
	}
	return places, nil
}

// wish is a job that wants a key, by its message.
type wish struct {
	job int64
	m   *engine.Message
}

// holdKeys takes the free ones among the keys, and returns the job that holds
// each now. Keys are taken in one order everywhere, so that two calls cannot
// wait for each other.
func (e *Engine) holdKeys(ctx context.Context, d db, wanted map[string]wish) (map[string]int64, error) {
	holders := make(map[string]int64, len(wanted))
	note := func(scan func(...any) error) error {
		var key string
		var job int64
		if err := scan(&key, &job); err != nil {
			return err
		}
		hash, err := hex.DecodeString(key)
		holders[string(hash)] = job
		return err
	}
	for range 10 {
		var keys [][]byte
		var jobs, fors []int64
		var holds []int16
		for _, h := range slices.Sorted(maps.Keys(wanted)) {
			if _, ok := holders[h]; !ok {
				w := wanted[h]
				keys, jobs = append(keys, []byte(h)), append(jobs, w.job)
				fors, holds = append(fors, w.m.KeyFor.Microseconds()), append(holds, int16(w.m.KeyHold))
			}
		}
		if len(keys) == 0 {
			return holders, nil
		}
		if err := d.query(ctx, e.sql.addKeys, []any{keys, jobs, fors, holds}, note); err != nil {
			return nil, fmt.Errorf("take keys: %w", err)
		}
		if len(holders) == len(wanted) {
			return holders, nil
		}
		// Others have the rest. Each of these statements sees the commits for
		// which the one before has waited.
		if err := d.query(ctx, e.sql.lockKeys, []any{keys}, note); err != nil {
			return nil, fmt.Errorf("find keys: %w", err)
		}
		if err := d.query(ctx, e.sql.takeKeys, []any{keys, jobs, fors, holds}, note); err != nil {
			return nil, fmt.Errorf("take free keys: %w", err)
		}
		// A key may have been forgotten between the two statements: then once
		// more.
	}
	return nil, errors.New("a unique key could neither be taken nor found held")
}

// hashKey makes any key fit into an index.
func hashKey(key string) string {
	h := sha256.Sum256([]byte(key))
	return string(h[:])
}
