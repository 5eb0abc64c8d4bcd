package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// riverKind matches River's names of a job's kind.
var riverKind = regexp.MustCompile(`\A[\w][\w\-\[\]<>\/.·:+]+\z`)

const (
	maxName    = 127   // characters of a kind or a queue
	maxRetries = 30000 // River counts attempts in 16 bits
	maxTag     = 255   // characters of a tag that River's tools show
)

// Check implements [engine.Engine].
func (e *Engine) Check(m *engine.Message) error {
	if err := m.CheckPriority(); err != nil {
		return err
	}
	switch {
	case utf8.RuneCountInString(m.Name) > maxName || !riverKind.MatchString(m.Name):
		return unsupported("the name %q: River takes from 2 to %d letters, digits and _-[]<>/.·:+", m.Name, maxName)
	case m.Meta.Retries < 0 || m.Meta.Retries > maxRetries:
		return unsupported("%d retries, at most %d can be counted", m.Meta.Retries, maxRetries)
	}
	return checkQueue(m.Queue)
}

func checkQueue(q string) error {
	if q == "" || utf8.RuneCountInString(q) > maxName || strings.ContainsRune(q, 0) || !utf8.ValidString(q) {
		return unsupported("the queue %q: River takes from 1 to %d characters", q, maxName)
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), engine.ErrUnsupported)
}

// lot is jobs to insert with one statement, by columns.
type lot struct {
	id       []int64 // 0 takes the next number of the sequence
	args     []string
	at, due  []*time.Time
	kind     []string
	attempts []int16
	metadata []string
	priority []int16
	queue    []string
	tags     []string

	keys    map[int]*engine.Message // the messages with a key, by their place
	limited map[int]*engine.Message // those with limits that need places

	// bare is the last message without metadata of its own, and bareMetadata its
	// metadata.
	bare         *engine.Message
	bareMetadata string

	jobOf func(uuid.UUID) (int64, bool) // of the engine
}

// newLot checks and encodes messages.
func (e *Engine) newLot(ms []*engine.Message) (*lot, error) {
	l := &lot{jobOf: e.jobOf}
	for _, m := range ms {
		if err := e.add(l, m); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (e *Engine) add(l *lot, m *engine.Message) error {
	if err := e.Check(m); err != nil {
		return fmt.Errorf("task %s: %w", m.Name, err)
	}
	args, kept := string(m.Args), true
	switch {
	case len(m.Args) == 0:
		args = "{}"
	case !keeps(m.Args):
		if strings.Contains(args, `\u0000`) {
			return fmt.Errorf("task %s: the arguments have a NUL character, which PostgreSQL cannot store", m.Name)
		}
		kept = false
	}
	meta, err := l.encode(m, kept)
	if err != nil {
		return fmt.Errorf("task %s: encode metadata: %w", m.Name, err)
	}
	if holds(m) {
		if l.keys == nil {
			l.keys = make(map[int]*engine.Message)
		}
		l.keys[l.Len()] = m
	}
	if m.Limits != nil {
		if l.limited == nil {
			l.limited = make(map[int]*engine.Message)
		}
		l.limited[l.Len()] = m
	}
	l.id = append(l.id, 0)
	l.args = append(l.args, args)
	l.at = append(l.at, optional(m.Meta.EnqueuedAt))
	l.due = append(l.due, optional(m.Due))
	l.kind = append(l.kind, m.Name)
	l.attempts = append(l.attempts, int16(min(m.Meta.Retries+1, math.MaxInt16)))
	l.metadata = append(l.metadata, meta)
	l.priority = append(l.priority, riverPriority(m.Priority))
	l.queue = append(l.queue, m.Queue)
	l.tags = append(l.tags, riverTags(m.Meta.Tags))
	return nil
}

// encode returns the metadata of a message's job. It is often the same for
// many calls of one task. It holds arguments that jsonb does not keep.
func (l *lot) encode(m *engine.Message, argsKept bool) (string, error) {
	bare := argsKept && remote.IsBare(m)
	if last := l.bare; bare && last != nil && last.Keep == m.Keep &&
		last.KeepFailed == m.KeepFailed && last.Meta.Version == m.Meta.Version &&
		last.Meta.Signature == m.Meta.Signature && last.Meta.Retries == m.Meta.Retries {
		return l.bareMetadata, nil
	}
	own := envelope{
		Meta: m.Meta, Keep: m.Keep, KeepFailed: m.KeepFailed, Key: m.Key, KeyHold: m.KeyHold, KeyFor: m.KeyFor, Limits: m.Limits,
	}
	own.ID, own.EnqueuedAt = uuid.Nil, time.Time{}
	if m.Meta.Entry != "" {
		if parent, ok := l.jobOf(m.Meta.Parent); ok {
			own.setKin(parent)
		}
	}
	if !argsKept {
		own.Args = string(m.Args)
	}
	b, err := json.Marshal(metadata{Own: &own})
	if err == nil && bare {
		l.bare, l.bareMetadata = m, string(b)
	}
	return string(b), err
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// riverTags returns the tags that River's tools can show, with commas between.
// The tags that count are in the metadata.
func riverTags(tags map[string]string) string {
	var b strings.Builder
	for k, v := range tags {
		t := k + ":" + v
		if v == "" {
			t = k
		}
		if t == "" || utf8.RuneCountInString(t) > maxTag || strings.ContainsAny(t, ",\x00") {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(t)
	}
	return b.String()
}

// Len implements [remote.Lot].
func (l *lot) Len() int { return len(l.id) }

// Join implements [remote.Lot], for lots without keys and limits.
func (l *lot) Join(others []*lot) *lot {
	all := new(lot)
	all.append(l)
	for _, o := range others {
		all.append(o)
	}
	return all
}

// append appends another lot without keys and limits.
func (l *lot) append(o *lot) {
	l.id = append(l.id, o.id...)
	l.args = append(l.args, o.args...)
	l.at = append(l.at, o.at...)
	l.due = append(l.due, o.due...)
	l.kind = append(l.kind, o.kind...)
	l.attempts = append(l.attempts, o.attempts...)
	l.metadata = append(l.metadata, o.metadata...)
	l.priority = append(l.priority, o.priority...)
	l.queue = append(l.queue, o.queue...)
	l.tags = append(l.tags, o.tags...)
}

// only returns the lot of the jobs at the places.
func (l *lot) only(places []int) *lot {
	o := new(lot)
	for _, i := range places {
		o.append(&lot{
			id: l.id[i : i+1], args: l.args[i : i+1], at: l.at[i : i+1], due: l.due[i : i+1], kind: l.kind[i : i+1],
			attempts: l.attempts[i : i+1], metadata: l.metadata[i : i+1], priority: l.priority[i : i+1],
			queue: l.queue[i : i+1], tags: l.tags[i : i+1],
		})
		if m := l.limited[i]; m != nil {
			if o.limited == nil {
				o.limited = make(map[int]*engine.Message)
			}
			o.limited[o.Len()-1] = m
		}
	}
	return o
}

// Insert implements [engine.Inserter]: all messages are stored, or none.
// Small calls at the same time are stored together, with one commit.
func (e *Engine) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	if err := e.mayInsert(ctx); err != nil {
		return nil, err
	}
	l, err := e.newLot(ms)
	if err != nil {
		return nil, err
	}
	numbers, err := e.reserve(ctx, l.Len())
	if err != nil {
		return nil, e.failed("insert tasks", err)
	}
	copy(l.id, numbers)
	var ins []engine.Inserted
	began := time.Now()
	if l.alone() || l.Len() > remote.MaxGathered {
		ins, err = e.storeAlone(ctx, l)
	} else {
		ins, err = e.in.Insert(ctx, l)
	}
	if err != nil {
		if ofOneRow(err) && l.Len() > 1 {
			err = e.blame(ctx, l, err)
		}
		return nil, e.failed("insert tasks", err)
	}
	for _, i := range l.replacing(ins) {
		var err error
		if ins[i], err = e.replaceHeld(ctx, l.keys[i], ins[i], e.inTx); err != nil {
			return nil, &engine.UncertainError{IDs: e.idsOf(l), Err: e.failed("insert tasks", err)}
		}
	}
	if time.Since(began) > longTrail/2 { // looks may have passed them meanwhile
		e.below(l.id)
	}
	e.workers.Nudge()
	return ins, nil
}

// InsertOne implements [engine.SingleInserter].
func (e *Engine) InsertOne(ctx context.Context, m *engine.Message) (engine.Inserted, error) {
	ins, err := e.Insert(ctx, []*engine.Message{m})
	if err != nil {
		return engine.Inserted{}, err
	}
	return ins[0], nil
}

func (e *Engine) mayInsert(ctx context.Context) error {
	if err := e.closed(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// storeAlone stores a lot that is not stored with others.
func (e *Engine) storeAlone(ctx context.Context, l *lot) ([]engine.Inserted, error) {
	beyond, cancel := remote.Beyond(ctx)
	defer cancel()
	ins, err := e.storeOnPool(beyond, l)
	switch {
	case err != nil && wasLost(err):
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &engine.UncertainError{IDs: e.idsOf(l), Err: err}
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return ins, err
}

// blame finds the task of a lot for which an insert has failed: it tries parts
// of the lot, and stores nothing.
func (e *Engine) blame(ctx context.Context, l *lot, cause error) error {
	from, until := 0, l.Len()
	for until-from > 1 {
		half := (from + until) / 2
		places := make([]int, 0, half-from)
		for i := from; i < half; i++ {
			places = append(places, i)
		}
		err := e.bounded(ctx, callTimeout, func(ctx context.Context) error {
			tx, err := e.pool.BeginTx(ctx, readCommitted)
			if err != nil {
				return err
			}
			_, err = e.insertLot(ctx, pgxDB{tx}, l.only(places))
			return errors.Join(err, tx.Rollback(ctx))
		})
		switch {
		case err == nil:
			from = half
		case ofOneRow(err):
			until, cause = half, err
		default:
			return cause
		}
	}
	return fmt.Errorf("task %s (%d of %d): %w", l.kind[from], from+1, l.Len(), cause)
}

// store inserts a lot on a connection or in a transaction. With keys it must
// be a transaction. If the insert itself fails, the answer is the one for jobs
// that are stored already.
func (e *Engine) store(ctx context.Context, d db, l *lot) ([]engine.Inserted, error) {
	ins := make([]engine.Inserted, l.Len())
	places := []int(nil)
	if l.keys != nil {
		var err error
		if places, err = e.takeKeys(ctx, d, l, ins); err != nil {
			return nil, err
		}
		l = l.only(places)
	}
	if l.Len() == 0 {
		return ins, nil
	}
	answer := func(ids []int64) {
		for i, id := range ids {
			if places != nil {
				i = places[i]
			}
			ins[i].ID = e.taskID(id)
		}
	}
	ids, err := e.insertLot(ctx, d, l)
	if err != nil {
		answer(l.id)
		return ins, err
	}
	answer(ids)
	if len(ids) != l.Len() {
		return nil, fmt.Errorf("%d of %d tasks were stored", len(ids), l.Len())
	}
	return ins, nil
}

// insertLot inserts jobs and notifies the workers. It returns their numbers,
// in the order of the lot.
func (e *Engine) insertLot(ctx context.Context, d db, l *lot) ([]int64, error) {
	ids := make([]int64, 0, l.Len())
	insert := func(d db, text string, more ...any) error {
		return d.query(ctx, text, append([]any{
			l.id, e.stored(l.args), l.at, l.kind, l.attempts, e.stored(l.metadata), l.priority, l.queue, l.due, l.tags,
			e.sql.insertChannel, e.sql.dueChannel, e.cfg.PollInterval.Microseconds(),
		}, more...), func(scan func(...any) error) error {
			var id, notified int64
			if err := scan(&id, &notified); err != nil {
				return err
			}
			ids = append(ids, id)
			return nil
		})
	}
	if l.limited == nil {
		err := insert(d, e.sql.insert)
		return ids, err
	}
	err := e.enterNew(ctx, d, l, func(d db, waits []string) error { return insert(d, e.sql.insertLimited, waits) })
	return ids, err
}

// holds reports whether the message is to hold its key.
func holds(m *engine.Message) bool {
	return m.Key != "" && (m.KeyFor > 0 || m.KeyHold == engine.HoldActive || m.KeyHold == engine.HoldWaiting)
}

// badData reports that the server refused a value, so that trying again cannot
// help.
func badData(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") || pg.Code == "54000" || pg.Code == "54001")
}
