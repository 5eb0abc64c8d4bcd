package runtime

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Journal returns the entries of the task's journal, in the order of
// recording, without secrets. A task that is not durable has none; an unknown
// one is [ErrNotFound], and an engine without durable tasks [ErrUnsupported].
func (a *App) Journal(ctx context.Context, id uuid.UUID) ([]inspect.JournalRecord, error) {
	j, ok := engine.As[engine.Journaler](a.engine)
	if !ok {
		return nil, aboutTask("read the journal of", id, errNoJournals)
	}
	e, err := a.engine.Get(ctx, id)
	if err != nil {
		return nil, aboutTask("read the journal of", id, err)
	}
	entries, err := j.Journal(ctx, id)
	if err != nil {
		return nil, aboutTask("read the journal of", id, err)
	}
	records := make([]inspect.JournalRecord, len(entries))
	d := a.redactorOf(e.Message, a.registered(e.Message.Name))
	for i := range entries {
		r := a.newJournalRecord(e.Message, &entries[i])
		r.Name, r.Value, r.Reason = d.CleanShown(r.Name), d.JSON(r.Value), d.CleanShown(r.Reason)
		records[i] = r
	}
	return records, nil
}

// newJournalRecord opens an entry of the journal of the message's task.
func (a *App) newJournalRecord(m *engine.Message, e *engine.JournalEntry) inspect.JournalRecord {
	r := inspect.JournalRecord{Kind: e.Kind.String(), Name: e.Name, Attempt: e.Attempt, Came: e.Came, Child: e.Child, State: e.State}
	switch e.Kind {
	case engine.EntryStep:
		r.Value = a.shownNote(m, hook.PartStep, e.Value)
	case engine.EntrySignal:
		r.Value = a.shownNote(signalMessage(e.Name, m.Meta.ID), hook.PartSignal, e.Value)
	case engine.EntryChild:
		child := childMessage(e)
		r.Task, r.Reason = child.Name, a.openText(child, hook.PartReason, e.Reason)
	default:
		r.Value = e.Value
	}
	return r
}

// shownNote is openNote for a record.
func (a *App) shownNote(m *engine.Message, p hook.Part, stored json.RawMessage) json.RawMessage {
	var n noted
	err := guard.Isolated(func() error {
		plain, err := a.openNote(m, p, stored)
		if err != nil {
			return err
		}
		return json.Unmarshal(plain, &n)
	})
	if err != nil {
		return json.RawMessage(`"` + unreadable + `"`)
	}
	return n.Value
}
