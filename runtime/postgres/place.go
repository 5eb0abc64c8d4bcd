package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

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
	err := d.query(ctx, e.sql.limit.keysOf, []any{jobs}, func(scan func(...any) error) error {
		var l engine.Limit
		var rule *string
		var per int64
		err := scan(&l.Key, &rule, &per)
		l.Per = time.Duration(per)
		if rule != nil {
			l.Rule = *rule
		}
		k.add(l)
		return err
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
	r := make(rooms, len(keys.key))
	err := d.query(ctx, e.sql.limit.rooms, []any{keys.key}, func(scan func(...any) error) error {
		var n int
		k := new(room)
		err := scan(&n, &k.held, &k.waits, &k.set, &k.open)
		if err == nil {
			r[string(keys.key[n-1])] = k
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count the places of limits: %w", err)
	}
	return r, nil
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
		p.most, p.ordered, p.held = append(p.most, int32(min(max(l.Most, 1), 1<<30))), append(p.ordered, l.Ordered), append(p.held, free)
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
	if len(p.job) == 0 {
		return nil
	}
	err := d.query(ctx, e.sql.limit.addPlaces, []any{p.job, p.n, p.key, p.most, p.ordered, p.held, p.priority, p.due, p.queue, p.kind}, nothing)
	if err != nil {
		return fmt.Errorf("note places of limits: %w", err)
	}
	return nil
}

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
	err = d.query(ctx, e.sql.limit.letIn, []any{keys, e.sql.insertChannel, most}, in.scan)
	return len(in.queue), in.more, err
}

// letIns are the queues and names of jobs that were let in, by columns.
type letIns struct {
	queue, kind []string
	more        bool // there may be more
}

func (l *letIns) scan(scan func(...any) error) error {
	var told int
	return scan(&l.queue, &l.kind, &told, &l.more)
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

// queueLeave queues what leave does, after the statements of before and of the jobs'
// ends. If quiet, nobody is told of the jobs that are let in.
func (s *serve) queueLeave(b *pgx.Batch, jobs []int64, keys *limitKeys, in *letIns, quiet bool) {
	if len(keys.key) == 0 {
		return
	}
	channel := s.e.sql.insertChannel
	if quiet {
		channel = ""
	}
	b.Queue(s.e.sql.limit.leave, jobs)
	b.Queue(s.e.sql.limit.letIn, keys.key, channel, letInLot).QueryRow(func(row pgx.Row) error { return in.scan(row.Scan) })
}

// tellLetIn tells the workers of queues that more jobs of a name wait there than before
// this worker has let some in quietly, and claimed some: mostly it has a slot free for
// each. Of as many as before the others have heard. If it fails, they poll.
func (s *serve) tellLetIn(ctx context.Context, in *letIns, f *fetch) {
	more := make(map[kindOfQueue]int)
	for i, queue := range in.queue {
		more[kindOfQueue{queue, in.kind[i]}]++
	}
	for _, j := range slices.Concat(f.low, f.claimed) {
		more[kindOfQueue{j.queue, j.kind}]--
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
