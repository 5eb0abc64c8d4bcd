package sqlite

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

var (
	_ engine.Journaler = (*Engine)(nil)
	_ engine.Journal   = (*delivery)(nil)
)

// journalDB are the statements about journals.
type journalDB struct {
	ownRun, addHead, head, countEntry, addEntry        *lite.Stmt
	entry, entryNames, signalOf                        *lite.Stmt
	parentOf, endEntry, countEnds, wait, wake, stayDue *lite.Stmt
	childOf, waitingDue, unseenEnds, sleepers          *lite.Stmt
	markBereft, bereft, anyBereft, bereftChildren      *lite.Stmt
	bereftAt, unmarkBereft                             *lite.Stmt
	badChildren, dropEntry, redoEntry, recount         *lite.Stmt
}

// entryColumns are the columns of an entry, in the order of scanJournalEntry.
const entryColumns = `kind, name, attempt, value, child, came, state, result, reason`

// headColumns are the columns of a head, in the order of scanHead.
const headColumns = `came, failed, others, bytes, due, seen, need, fail_fast, name`

func (d *db) journalStatements() map[**lite.Stmt]string {
	j := &d.journal
	return map[**lite.Stmt]string{
		&j.ownRun:  `SELECT 1 FROM @tasks WHERE seq = ? AND lease = ? AND state = 4`,
		&j.addHead: `INSERT OR IGNORE INTO @journals(task) VALUES(?)`,
		&j.head:    `SELECT ` + headColumns + ` FROM @journals WHERE task = ?`,
		&j.countEntry: `UPDATE @journals SET came = max(came, ?2), others = others + ?3, bytes = bytes + ?4
			WHERE task = ?1`,
		&j.addEntry: `INSERT INTO @entries(task, kind, name, key, attempt, value, child, orphan, came)
			VALUES(?,?,?,?,?,?,?,?,?)`,
		&j.entry: `SELECT ` + entryColumns + ` FROM @entries INDEXED BY @entry_names
			WHERE task = ? AND name = ? AND kind <> 'g'`,
		&j.entryNames: `SELECT max(came) FROM @entries WHERE task = ?1 AND name = ?2`,
		&j.signalOf: `SELECT 1 FROM @entries INDEXED BY @signal_names
			WHERE task = ? AND name = ? AND kind = 'g' AND key = ?`,

		&j.parentOf: `SELECT seq, queue FROM @tasks WHERE id = ?`,
		&j.endEntry: `UPDATE @entries SET came = ?4, state = ?5, result = ?6, reason = ?7
			WHERE task = ?1 AND name = ?2 AND kind <> 'g' AND child = ?3 AND came = 0`,
		&j.countEnds: `UPDATE @journals SET came = came + ?2, failed = failed + ?3, bytes = bytes + ?4 WHERE task = ?1`,
		&j.wait: `UPDATE @journals SET due = ?2, seen = ?3, need = ?4, fail_fast = ?5, name = ?6
			WHERE task = ?1`,
		&j.wake: `UPDATE @tasks SET state = 2, due = coalesce((SELECT due FROM @journals WHERE task = ?1), due)
			WHERE seq = ?1 AND state = 11`,
		&j.stayDue:    `UPDATE @journals SET due = NULL WHERE task = ?`,
		&j.childOf:    `SELECT v, parent, extra, id FROM @tasks WHERE seq = ?`,
		&j.waitingDue: `SELECT seq, due, queue FROM @tasks INDEXED BY @waiting WHERE state = 11 ORDER BY due`,
		&j.unseenEnds: `SELECT e.name, e.child, t.state, t.result, t.reason FROM @entries e INDEXED BY @entries_of
			LEFT JOIN @tasks t ON t.id = e.child
			WHERE e.task = ? AND e.kind = 'c' AND e.came = 0 AND (t.seq IS NULL OR t.state BETWEEN 8 AND 10)`,
		&j.sleepers: `SELECT j.task, t.queue FROM @journals j INDEXED BY @sleeping JOIN @tasks t ON t.seq = j.task
			WHERE j.task > ? AND j.due IS NOT NULL ORDER BY j.task LIMIT 100`,

		&j.markBereft: `UPDATE @journals SET bereft = ?2, bereft_at = 0, due = NULL WHERE task = ?1`,
		&j.bereft: `SELECT j.task, j.bereft, j.bereft_at, t.id FROM @journals j INDEXED BY @bereft
			JOIN @tasks t ON t.seq = j.task WHERE j.bereft IS NOT NULL LIMIT 1`,
		&j.anyBereft: `SELECT 1 FROM @journals INDEXED BY @bereft WHERE bereft IS NOT NULL LIMIT 1`,
		&j.bereftChildren: `SELECT seq, child FROM @entries INDEXED BY @entries_of
			WHERE task = ? AND seq > ? AND kind = 'c' AND came = 0 AND orphan = 0 ORDER BY seq LIMIT ?`,
		&j.bereftAt:     `UPDATE @journals SET bereft_at = ?2 WHERE task = ?1`,
		&j.unmarkBereft: `UPDATE @journals SET bereft = NULL WHERE task = ?`,

		&j.badChildren: `SELECT e.seq, t.state, s.seq IS NOT NULL, t.result
			FROM @entries e INDEXED BY @entries_of LEFT JOIN @tasks t ON t.id = e.child LEFT JOIN @stops s ON s.seq = t.seq
			WHERE e.task = ? AND e.kind = 'c' AND (e.came = 0 OR e.state <> 'succeeded') ORDER BY e.seq`,
		&j.dropEntry: `DELETE FROM @entries WHERE seq = ?`,
		&j.redoEntry: `UPDATE @entries SET came = ?2, state = ?3, result = ?4, reason = NULL WHERE seq = ?1`,
		&j.recount: `UPDATE @journals SET due = NULL, bereft = NULL, failed = 0, (came, others, bytes) = (
			SELECT coalesce(max(came), 0), coalesce(sum(kind <> 'c'), 0), coalesce(sum(length(CAST(name AS BLOB)) +
				coalesce(length(CAST(value AS BLOB)), 0) + coalesce(length(CAST(result AS BLOB)), 0) +
				coalesce(length(CAST(reason AS BLOB)), 0)), 0) FROM @entries WHERE task = ?1) WHERE task = ?1`,
	}
}

// head is the counts of a journal.
type head struct {
	came, failed, others, bytes int64
	waits                       bool
	wait                        engine.Wait
}

// head returns the head of a task's journal. It reports whether there is one.
func (t *txn) head(seq int64) (h head, found bool, err error) {
	if err := t.countEnds(); err != nil {
		return h, false, err
	}
	st := t.db.journal.head
	st.BindInt(1, seq)
	defer st.Reset()
	if found, err = st.Step(); !found {
		return h, false, err
	}
	h = head{came: st.Int(0), failed: st.Int(1), others: st.Int(2), bytes: st.Int(3), waits: !st.Null(4)}
	h.wait = engine.Wait{Seen: st.Int(5), Need: st.Int(6), FailFast: !st.Null(7), Failed: st.Int(7), Name: st.Text(8)}
	return h, true, nil
}

func (t *txn) addHead(seq int64) error {
	t.db.journal.addHead.BindInt(1, seq)
	return t.db.journal.addHead.Run()
}

// scanJournalEntry reads entryColumns.
func scanJournalEntry(s *lite.Stmt) engine.JournalEntry {
	en := engine.JournalEntry{
		Name: s.Text(1), Attempt: int(s.Int(2)), Value: s.Bytes(3), Came: s.Int(5), State: engine.State(s.Text(6)),
		Result: s.Bytes(7), Reason: s.Text(8),
	}
	if kind := s.View(0); len(kind) == 1 {
		en.Kind = engine.EntryKind(kind[0])
	}
	copy(en.Child[:], s.View(4))
	return en
}

// The entries of the journal of one task, or a row of NULL if there is the task and no
// entry.
const (
	selectOwnJournal = selectJournal + `seq = ? AND lease = ? AND state = 4` + endSelectJournal
	selectJournalOf  = selectJournal + `id = ?2 AND NOT (` + overKept + `)` + endSelectJournal

	selectJournal    = `SELECT ` + entryColumns + ` FROM (SELECT seq AS task_seq FROM @tasks WHERE `
	endSelectJournal = `) LEFT JOIN @entries INDEXED BY @entries_of ON task = task_seq ORDER BY seq`
)

// Journal implements [engine.Journaler].
func (e *Engine) Journal(ctx context.Context, id uuid.UUID) ([]engine.JournalEntry, error) {
	r, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer e.readers.put(r)
	entries, there, err := r.journal(&r.journalOf, selectJournalOf, func(st *lite.Stmt) {
		st.BindInt(1, nanos(e.now()))
		st.BindBlob(2, id[:])
	})
	if err == nil && !there {
		return nil, engine.ErrNotFound
	}
	return entries, e.explain(err)
}

// ReadJournal implements [engine.Journal].
func (d *delivery) ReadJournal(ctx context.Context) ([]engine.JournalEntry, error) {
	e := d.s.e
	r, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer e.readers.put(r)
	entries, own, err := r.journal(&r.ownJournal, selectOwnJournal, func(st *lite.Stmt) {
		st.BindInt(1, d.seq)
		st.BindInt(2, d.lease)
	})
	if err == nil && !own {
		return nil, engine.ErrLeaseLost
	}
	return entries, e.explain(err)
}

// journal reads entries by a statement, which it prepares once. It reports whether
// there is the task.
func (r *reader) journal(st **lite.Stmt, text string, bind func(*lite.Stmt)) (entries []engine.JournalEntry, there bool, err error) {
	if *st == nil {
		if *st, err = r.c.Prepare(text); err != nil {
			return nil, false, err
		}
	}
	bind(*st)
	err = (*st).Each(func() bool {
		if there = true; !(*st).Null(0) {
			entries = append(entries, scanJournalEntry(*st))
		}
		return true
	})
	return entries, there, err
}

// Signal implements [engine.Journaler].
func (e *Engine) Signal(ctx context.Context, id uuid.UUID, name, key string, value json.RawMessage) error {
	return e.run(ctx, func(t *txn) error {
		r, err := t.find(id)
		if err != nil {
			return err
		}
		if r.final() {
			return engine.ErrState
		}
		if known, err := t.signalKnown(r.seq, name, key); err != nil || known {
			return err
		}
		h, found, err := t.head(r.seq)
		if err != nil {
			return err
		}
		size := int64(len(name) + len(value))
		if h.others >= engine.MaxJournalEntries || h.bytes+size > engine.MaxJournalBytes {
			return engine.ErrJournalFull
		}
		if !found {
			if err := t.addHead(r.seq); err != nil {
				return err
			}
		}
		came := h.came + 1
		if err := t.addEntry(r.seq, newEntry{kind: engine.EntrySignal, name: name, key: key, value: value, came: came}); err != nil {
			return err
		}
		if err := t.countEntries(r.seq, came, 1, size); err != nil {
			return err
		}
		return t.arrived(r.seq, r.msg.Queue, name)
	}, nil)
}

func (t *txn) signalKnown(seq int64, name, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	st := t.db.journal.signalOf
	st.BindInt(1, seq)
	st.BindText(2, name)
	st.BindText(3, key)
	_, ok, err := one(st)
	return ok, err
}

// newEntry is an entry to write.
type newEntry struct {
	kind      engine.EntryKind
	name, key string
	attempt   int
	value     json.RawMessage
	child     uuid.UUID
	orphan    bool
	came      int64
}

func (t *txn) addEntry(seq int64, n newEntry) error {
	st := t.db.journal.addEntry
	st.BindInt(1, seq)
	st.BindText(2, string(rune(n.kind)))
	st.BindText(3, n.name)
	if st.BindNull(4); n.key != "" {
		st.BindText(4, n.key)
	}
	st.BindInt(5, int64(n.attempt))
	st.BindTextBytes(6, n.value)
	bindID(st, 7, n.child)
	st.BindInt(8, 0)
	if n.orphan {
		st.BindInt(8, 1)
	}
	st.BindInt(9, n.came)
	return st.Run()
}

// countEntries notes entries in the head: the last came there is, how many are no
// children, and their bytes.
func (t *txn) countEntries(seq, came, others, bytes int64) error {
	st := t.db.journal.countEntry
	st.BindInt(1, seq)
	st.BindInt(2, came)
	st.BindInt(3, others)
	st.BindInt(4, bytes)
	return st.Run()
}
