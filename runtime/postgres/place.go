package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// A task with limits needs a place under each before it may begin. Which it holds
// are rows, written by whoever holds the lock on the limit's key: the enqueue, the
// worker that claims the task, or the end of another task. A worker begins no run
// without all of them.

// limitKeys are keys of limits, and their rules, by columns and in the order in which
// they are locked.
type limitKeys struct {
	key, ruleKey [][]byte
	rule         []string
	per          []int64 // of rates, in ns
}

// limitHash makes any key fit into an index.
func limitHash(key string) []byte {
	h := sha256.Sum256([]byte(clean(key)))
	return h[:16]
}

// add adds the keys of limits. Sort them afterwards.
func (k *limitKeys) add(limits ...engine.Limit) {
	for _, l := range limits {
		k.key, k.ruleKey = append(k.key, limitHash(l.Key)), append(k.ruleKey, limitHash(l.Rule))
		k.rule, k.per = append(k.rule, clean(l.Rule)), append(k.per, int64(l.Per))
	}
}

// add1 adds the key at a place of others.
func (k *limitKeys) add1(o *limitKeys, i int) {
	k.key, k.ruleKey = append(k.key, o.key[i]), append(k.ruleKey, o.ruleKey[i])
	k.rule, k.per = append(k.rule, o.rule[i]), append(k.per, o.per[i])
}

// join adds all of others. Sort them afterwards.
func (k *limitKeys) join(o *limitKeys) {
	for i := range o.key {
		k.add1(o, i)
	}
}

// sorted returns the keys in order, each once.
func (k *limitKeys) sorted() *limitKeys {
	places := make([]int, len(k.key))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return bytes.Compare(k.key[a], k.key[b]) })
	s := new(limitKeys)
	for _, i := range places {
		if n := len(s.key); n == 0 || !bytes.Equal(s.key[n-1], k.key[i]) {
			s.add1(k, i)
		}
	}
	return s
}

func keysOf(limits ...engine.Limit) *limitKeys {
	k := new(limitKeys)
	k.add(limits...)
	return k.sorted()
}

// lockLimits locks those of the keys that have places. A key that has none is not
// locked: nothing can be given up or let in under it.
func (e *Engine) lockLimits(ctx context.Context, d db, keys *limitKeys) error {
	return d.query(ctx, e.sql.limit.lockKeys, []any{keys.key}, nothing)
}

// takeLimits locks all of the keys, so that places can be added.
func (e *Engine) takeLimits(ctx context.Context, d db, keys *limitKeys) error {
	for range 10 {
		if err := d.query(ctx, e.sql.limit.addKeys, []any{keys.key, keys.ruleKey, keys.rule, keys.per}, nothing); err != nil {
			return fmt.Errorf("note the keys of limits: %w", err)
		}
		locked := 0
		if err := d.query(ctx, e.sql.limit.lockKeys, []any{keys.key}, func(func(...any) error) error { locked++; return nil }); err != nil {
			return fmt.Errorf("lock the keys of limits: %w", err)
		}
		if locked == len(keys.key) {
			return nil
		}
		// One was forgotten between the two statements: then once more.
	}
	return errForgotten
}

// errForgotten says that keys were forgotten again and again before they could be locked.
var errForgotten = errors.New("the keys of limits could not be locked")

// limitKeysOf returns the keys of the limits of jobs.
func (e *Engine) limitKeysOf(ctx context.Context, d db, jobs []int64) (*limitKeys, error) {
	k := new(limitKeys)
	err := d.query(ctx, e.sql.limit.limitsOf, []any{jobs}, func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		var limits []engine.Limit
		if json.Unmarshal([]byte(text), &limits) == nil { // else another program has written them
			k.add(limits...)
		}
		return nil
	})
	return k.sorted(), err
}

// room is what is known of a locked key.
type room struct {
	// held is how many places are held, of a rate by the runs that count as well; set
	// is negative unless SetLimit has set one.
	held, set int
	waits     bool
	open      bool // it is a rate that may have room for one that waits
}

// rooms are the locked keys by their hashes.
type rooms map[string]*room

// readRooms reads what is held of locked keys, and what waits.
func (e *Engine) readRooms(ctx context.Context, d db, keys *limitKeys) (rooms, error) {
	r, paused := make(rooms, len(keys.key)), false
	if err := d.query(ctx, e.sql.limit.rooms, []any{keys.key}, e.scanRooms(keys, r, &paused)); err != nil {
		return nil, fmt.Errorf("count the places of limits: %w", err)
	}
	return r, nil
}

// scanRooms reads a row of a statement about keys, which says as well whether something is
// paused.
func (e *Engine) scanRooms(keys *limitKeys, r rooms, paused *bool) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var n int
		k := new(room)
		err := scan(&n, &k.held, &k.waits, &k.set, &k.open, paused)
		if err == nil {
			r[string(keys.key[n-1])] = k
			e.pausing.Store(*paused)
		}
		return err
	}
}

// entrant is a job that wants places.
type entrant struct {
	job      int64
	queue    string
	kind     string
	limits   []engine.Limit
	priority int16 // River's
	due      *time.Time
	later    bool // it is due later: it takes only places of limits that keep an order
	paused   bool // it waits for the others
	begins   bool // it is claimed
	has      map[int]bool
	waits    string // the rule for whose place it waits
}

// places are rows of taskctx_place, by columns.
type places struct {
	job           []int64
	n             []int16
	key           [][]byte
	most          []int32
	ordered, held []bool
	priority      []int16
	due           []*time.Time
	queue, kind   []string
}

// mostOf is how many places a limit has unless SetLimit has set another number, as it is
// stored.
func mostOf(l engine.Limit) int32 { return int32(min(max(l.Most, 1), 1<<30)) }

// enter takes the places that the job lacks. If there is none it waits for it.
func (p *places) enter(r rooms, t *entrant) {
	for n, l := range t.limits {
		if t.has[n] && (l.Per == 0 || !t.begins) {
			continue
		}
		if t.later && !l.Ordered {
			return
		}
		key := limitHash(l.Key)
		k, most := r[string(key)], max(l.Most, 1)
		if k.set >= 0 {
			most = k.set
		}
		if l.Ordered {
			most = 1
		}
		free := !k.waits && k.held < most && (!t.paused || l.Ordered)
		if t.has[n] { // a rate holds when a run begins, whoever let it in
			if free = k.held <= most; free {
				continue
			}
			k.held--
		}
		p.job, p.n, p.key = append(p.job, t.job), append(p.n, int16(n)), append(p.key, key)
		p.most, p.ordered, p.held = append(p.most, mostOf(l)), append(p.ordered, l.Ordered), append(p.held, free)
		p.priority, p.due = append(p.priority, t.priority), append(p.due, t.due)
		p.queue, p.kind = append(p.queue, t.queue), append(p.kind, t.kind)
		if !free {
			k.waits = k.waits || !t.paused || l.Ordered
			t.waits = clean(l.Rule)
			if t.waits == "" {
				t.waits = "limit"
			}
			return
		}
		k.held++
	}
}

// addPlaces writes places of locked keys.
func (e *Engine) addPlaces(ctx context.Context, d db, p *places) error {
	return e.writePlaces(ctx, d, e.sql.limit.addPlaces, p)
}

// writePlaces is addPlaces with a statement for it.
func (e *Engine) writePlaces(ctx context.Context, d db, text string, p *places) error {
	if len(p.job) == 0 {
		return nil
	}
	err := d.query(ctx, text, []any{
		p.job, p.n, p.key, p.most, p.ordered, p.held, p.priority, p.due, p.queue, p.kind,
	}, nothing)
	if err != nil {
		return fmt.Errorf("note places of limits: %w", err)
	}
	return nil
}
