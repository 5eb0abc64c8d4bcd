package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Record implements [remote.JournalStore].
func (s *serve) Record(ctx context.Context, c claim, attempt int, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	r := recording{serve: s, claim: c, attempt: attempt, entries: entries}
	var held *engine.KeyHeldError
	began := time.Now()
	switch err := r.run(ctx); {
	case err == nil:
	case errors.Is(err, engine.ErrLeaseLost), errors.As(err, &held):
		return nil, err
	default:
		return nil, s.e.failed("record in the journal", err)
	}
	if r.spawns() && len(r.fresh) > 0 {
		if time.Since(began) > longTrail/2 { // looks may have passed them meanwhile
			s.dead.below(r.numbers)
		}
		s.e.workers.Nudge()
	}
	return r.out, nil
}

// recording is one Record.
type recording struct {
	*serve
	claim   claim
	attempt int
	entries []engine.NewEntry
	numbers []int64 // of the children, by place; 0 for other entries
	joined  bool    // in a transaction of the caller's

	out   []engine.JournalEntry
	fresh []int // the places of entries that are not there yet
}

// run records in a transaction of its own.
func (r *recording) run(ctx context.Context) error {
	if len(r.entries) == 1 && r.entries[0].Spawn == nil {
		return r.recordOne(ctx)
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if r.spawns() && !slices.ContainsFunc(r.entries, guarded) {
		if err := r.recordFirst(ctx); !errors.Is(err, errKnown) {
			return err
		}
	}
	return r.e.inTx(ctx, r.record)
}

// spawns reports whether there are children among the entries.
func (r *recording) spawns() bool {
	return slices.ContainsFunc(r.entries, func(n engine.NewEntry) bool { return n.Spawn != nil })
}

// guarded reports that other rows than the journal's are locked for a child.
func guarded(n engine.NewEntry) bool {
	return n.Spawn != nil && (holds(n.Spawn) || n.Spawn.Limits != nil)
}

// recordOne records what is no child, in one round trip.
func (r *recording) recordOne(ctx context.Context) error {
	n, sql, one := r.entries[0], &r.e.sql.journal, []int64{r.claim.job}
	var value *string
	if n.Value != nil {
		value = new(string(n.Value))
	}
	var own, known bool
	var en engine.JournalEntry
	err := r.e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		return r.e.inBatch(ctx, func(b *pgx.Batch) {
			b.Queue(sql.makeHeads, one)
			b.Queue(sql.lockHeads, one)
			b.Queue(sql.addOne, r.owner, r.claim.job, r.claim.attempt, n.Name, string(rune(n.Kind)), min(r.attempt, 32767), value).
				QueryRow(func(row pgx.Row) (err error) {
					en, err = r.e.scanEntry(row.Scan, &own, &known)
					return err
				})
		})
	})
	switch {
	case err != nil:
		return err
	case !own:
		return engine.ErrLeaseLost
	case !known:
		en = engine.JournalEntry{Name: n.Name, Kind: n.Kind, Value: n.Value, Attempt: r.attempt}
		r.fresh = []int{0}
	}
	r.out = []engine.JournalEntry{en}
	return nil
}

// errKnown says that an entry is there already.
var errKnown = errors.New("an entry is there already")

// recordFirst is record, in two round trips, for many children of which none is there
// yet: they and their entries are inserted before the journal is locked, for which
// those wait that write down the ends of others.
func (r *recording) recordFirst(ctx context.Context) error {
	r.fresh, r.out = make([]int, len(r.entries)), make([]engine.JournalEntry, len(r.entries))
	for i, n := range r.entries {
		r.fresh[i] = i
		r.out[i] = engine.JournalEntry{Name: n.Name, Kind: n.Kind, Value: n.Value, Attempt: r.attempt}
		if n.Spawn != nil {
			r.out[i].Child = r.e.taskID(r.numbers[i])
		}
	}
	var added, others, bytes int64
	var own bool
	return r.e.inTrips(ctx, func(ctx context.Context, d db) error {
		own = false
		if err := r.spawn(ctx, d); err != nil {
			return err
		}
		if err := d.query(ctx, r.e.sql.journal.addFirst, r.columns(), func(scan func(...any) error) error {
			return scan(&added, &others, &bytes)
		}); err != nil {
			return err
		}
		return r.lock(ctx, d, &own)
	}, func(ctx context.Context, d db) error {
		switch {
		case !own:
			return engine.ErrLeaseLost
		case added != int64(len(r.entries)):
			return errKnown
		}
		return d.query(ctx, r.e.sql.journal.count, []any{r.claim.job, others, bytes}, nothing)
	})
}

// prepare reserves the numbers of the children.
func (r *recording) prepare(ctx context.Context) error {
	r.numbers = make([]int64, len(r.entries))
	var places []int
	for i, n := range r.entries {
		if n.Spawn != nil {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return nil
	}
	numbers, err := r.e.reserve(ctx, len(places))
	if err != nil {
		return err
	}
	for i, p := range places {
		r.numbers[p] = numbers[i]
	}
	return nil
}

func (r *recording) record(ctx context.Context, d db) error {
	own := false
	switch err := r.lock(ctx, d, &own); {
	case err != nil:
		return err
	case !own:
		return engine.ErrLeaseLost
	}
	if err := r.look(ctx, d); err != nil || len(r.fresh) == 0 {
		return err
	}
	if err := r.spawn(ctx, d); err != nil {
		return err
	}
	return r.add(ctx, d)
}

// lock locks the journal for the run, and sets own if that still owns its task.
func (r *recording) lock(ctx context.Context, d db, own *bool) error {
	sql, one := &r.e.sql.journal, []int64{r.claim.job}
	for _, text := range []string{sql.makeHeads, sql.lockHeads} {
		if err := d.query(ctx, text, []any{one}, nothing); err != nil {
			return err
		}
	}
	return d.query(ctx, sql.ownRun, []any{r.owner, r.claim.job, r.claim.attempt}, func(func(...any) error) error {
		*own = true
		return nil
	})
}

// look finds which entries are there already.
func (r *recording) look(ctx context.Context, d db) error {
	r.out, r.fresh = make([]engine.JournalEntry, len(r.entries)), nil
	names := make([]string, len(r.entries))
	for i, n := range r.entries {
		names[i] = n.Name
	}
	known := make(map[string]engine.JournalEntry)
	if err := d.query(ctx, r.e.sql.journal.named, []any{r.claim.job, names}, func(scan func(...any) error) error {
		en, err := r.e.scanEntry(scan)
		known[en.Name] = en
		return err
	}); err != nil {
		return err
	}
	for i, n := range r.entries {
		en, ok := known[n.Name]
		if !ok {
			en = engine.JournalEntry{Name: n.Name, Kind: n.Kind, Value: n.Value, Attempt: r.attempt}
			if n.Spawn != nil {
				en.Child = r.e.taskID(r.numbers[i])
			}
			known[n.Name] = en
			r.fresh = append(r.fresh, i)
		}
		r.out[i] = en
	}
	return nil
}

// spawn inserts the children among the fresh entries.
func (r *recording) spawn(ctx context.Context, d db) error {
	l := &lot{jobOf: r.e.jobOf}
	wanted, entryOf := make(map[string]wish), make(map[string]string)
	for _, i := range r.fresh {
		n := r.entries[i]
		if n.Spawn == nil {
			continue
		}
		if err := r.e.add(l, n.Spawn); err != nil {
			return err
		}
		l.id[l.Len()-1] = r.numbers[i]
		if !holds(n.Spawn) {
			continue
		}
		key := hashKey(n.Spawn.Key)
		if first, ok := wanted[key]; ok {
			return &engine.KeyHeldError{Entry: n.Name, Holder: r.e.taskID(first.job)}
		}
		wanted[key], entryOf[key] = wish{r.numbers[i], n.Spawn}, n.Name
	}
	if l.Len() == 0 {
		return nil
	}
	if r.joined {
		if err := l.unplaced(); err != nil {
			return err
		}
	}
	if len(wanted) > 0 {
		holders, err := r.e.holdKeys(ctx, d, wanted)
		if err != nil {
			return err
		}
		for key, w := range wanted {
			if holders[key] != w.job {
				return &engine.KeyHeldError{Entry: entryOf[key], Holder: r.e.taskID(holders[key])}
			}
		}
	}
	_, err := r.e.insertLot(ctx, d, l)
	return err
}

// add adds the fresh entries.
func (r *recording) add(ctx context.Context, d db) error {
	return d.query(ctx, r.e.sql.journal.add, r.columns(), nothing)
}

// columns are the fresh entries as arguments of the statements that add them.
func (r *recording) columns() []any {
	n := len(r.fresh)
	names, kinds, values := make([]string, n), make([]string, n), make([]*string, n)
	children, orphans := make([]int64, n), make([]bool, n)
	for at, i := range r.fresh {
		en := r.entries[i]
		names[at], kinds[at], children[at] = en.Name, string(rune(en.Kind)), r.numbers[i]
		if en.Value != nil {
			values[at] = new(string(en.Value))
		}
		orphans[at] = en.Spawn != nil && en.Spawn.Meta.Orphan
	}
	return []any{r.claim.job, min(r.attempt, 32767), names, kinds, values, children, orphans}
}
