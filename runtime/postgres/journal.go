package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

var (
	_ engine.Journaler           = (*Engine)(nil)
	_ remote.JournalStore[claim] = (*serve)(nil)
)

// Journal implements [engine.Journaler].
func (e *Engine) Journal(ctx context.Context, id uuid.UUID) ([]engine.JournalEntry, error) {
	job, err := e.find(id)
	if err != nil {
		return nil, err
	}
	j, err := e.journals.Do(ctx, journalRead{claim: claim{job: job}})
	if err == nil && !j.here {
		err = engine.ErrNotFound
	}
	return j.entries, err
}

// ReadJournal implements [remote.JournalStore]. A task that runs though its failure or
// its cancellation is noted was made due by another program: its journal is made what
// a retry by hand makes of it.
func (s *serve) ReadJournal(ctx context.Context, c claim) ([]engine.JournalEntry, error) {
	j, err := s.e.journals.Do(ctx, journalRead{c, s.owner})
	if err == nil && j.own && j.again {
		err = s.e.inTx(ctx, func(ctx context.Context, d db) error { return s.e.redo(ctx, d, c.job) })
		if err != nil {
			return nil, s.e.failed("begin the journal again", err)
		}
		j, err = s.e.journals.Do(ctx, journalRead{c, s.owner})
	}
	if err == nil && !j.own {
		return nil, engine.ErrLeaseLost
	}
	return j.entries, err
}

// redo makes the journal, if there is one, that of a task that runs again after it had
// failed or was cancelled: children that have not succeeded are forgotten, and others are
// counted.
func (e *Engine) redo(ctx context.Context, d db, job int64) error {
	sql, begun := &e.sql.journal, false
	err := d.query(ctx, sql.lockHeads, []any{[]int64{job}}, func(func(...any) error) error { begun = true; return nil })
	if err != nil || !begun {
		return err
	}
	for _, text := range []string{sql.forgetFailed, sql.redo, sql.recount} {
		if err := d.query(ctx, text, []any{job}, nothing); err != nil {
			return err
		}
	}
	return nil
}

// journal is what is read of one.
type journal struct {
	entries          []engine.JournalEntry
	order            []int64 // the numbers of the entries, which ascend once all are read
	here, own, again bool    // as journalSQL says
}

// journalRead is whose journal is read, for the owner of the run if there is one.
type journalRead struct {
	claim
	owner string
}

// readJournals reads journals in one request.
func (e *Engine) readJournals(ctx context.Context, rs []journalRead) ([]journal, error) {
	js := make([]journal, len(rs))
	jobs, attempts, owners := make([]int64, len(rs)), make([]int16, len(rs)), make([]string, len(rs))
	for i, r := range rs {
		jobs[i], attempts[i], owners[i] = r.job, r.attempt, r.owner
	}
	err := e.steered(ctx, e.sql.journal.read, []any{jobs, attempts, owners}, func(scan func(...any) error) error {
		var n int
		var seq int64
		var here, own, again bool
		en, err := e.scanEntry(scan, &n, &seq, &here, &own, &again)
		if err != nil {
			return err
		}
		j := &js[n-1]
		if j.here, j.own, j.again = here, own, again; en.Kind != 0 {
			j.entries, j.order = append(j.entries, en), append(j.order, seq)
		}
		return nil
	})
	if err != nil {
		return nil, e.failed("read journal", err)
	}
	for i := range js {
		if !slices.IsSorted(js[i].order) {
			sort.Sort(&js[i])
		}
	}
	return js, nil
}

// Len, Less and Swap implement [sort.Interface].
func (j *journal) Len() int           { return len(j.order) }
func (j *journal) Less(a, b int) bool { return j.order[a] < j.order[b] }
func (j *journal) Swap(a, b int) {
	j.order[a], j.order[b] = j.order[b], j.order[a]
	j.entries[a], j.entries[b] = j.entries[b], j.entries[a]
}

// scanEntry reads an entry behind other columns.
func (e *Engine) scanEntry(scan func(...any) error, before ...any) (en engine.JournalEntry, err error) {
	var kind, state string
	var child int64
	var value, result *string
	if err := scan(append(before, &kind, &en.Name, &en.Attempt, &value, &child, &en.Came, &state, &result, &en.Reason)...); err != nil {
		return en, err
	}
	if len(kind) == 1 {
		en.Kind = engine.EntryKind(kind[0])
	}
	if child != 0 {
		en.Child = e.taskID(child)
	}
	en.Value, en.Result, en.State = rawOf(value), rawOf(result), engine.State(state)
	return en, nil
}

func rawOf(s *string) json.RawMessage {
	if s == nil {
		return nil
	}
	return json.RawMessage(*s)
}

// Signal implements [engine.Journaler].
func (e *Engine) Signal(ctx context.Context, id uuid.UUID, name, key string, value json.RawMessage) error {
	job, err := e.find(id)
	if err != nil {
		return err
	}
	var why string
	var told int
	one := []int64{job}
	err = e.bounded(ctx, callTimeout, func(ctx context.Context) error {
		return e.inBatch(ctx, func(b *pgx.Batch) {
			b.Queue(e.sql.journal.makeHeads, one)
			b.Queue(e.sql.journal.lockHeads, one)
			b.Queue(e.sql.journal.signal, job, name, key, string(value),
				engine.MaxJournalEntries, engine.MaxJournalBytes, e.sql.insertChannel).
				QueryRow(func(row pgx.Row) error { return row.Scan(&why, &told) })
		})
	})
	switch {
	case err != nil:
		return e.failed("signal", err)
	case why == "gone":
		return engine.ErrNotFound
	case why == "ended":
		return fmt.Errorf("%w: it has ended", engine.ErrState)
	case why == "full":
		return engine.ErrJournalFull
	}
	if told > 0 {
		e.workers.Nudge()
	}
	return nil
}

// nothing takes a row without columns that matter.
func nothing(func(...any) error) error { return nil }
