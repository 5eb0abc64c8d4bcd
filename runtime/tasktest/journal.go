package tasktest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var (
	_ engine.Journaler = (*ledger)(nil)
	_ engine.Journal   = (*memo)(nil)
)

// Signal implements [engine.Journaler]. A signal to a task that is only
// recorded is not kept.
func (e *ledger) Signal(_ context.Context, id uuid.UUID, name, key string, value json.RawMessage) error {
	e.mu.Lock()
	run, at := e.driven[id], e.index(id)
	var ended bool
	if run != nil {
		ended = run.entry.State.Final()
	} else if at >= 0 {
		ended = e.entries[at].State.Final()
	}
	e.mu.Unlock()
	switch {
	case run == nil && at < 0:
		return engine.ErrNotFound
	case ended:
		return engine.ErrState
	case run != nil:
		run.memo.signal(name, key, value)
	}
	return nil
}

// Journal implements [engine.Journaler].
func (e *ledger) Journal(ctx context.Context, id uuid.UUID) ([]engine.JournalEntry, error) {
	e.mu.Lock()
	run, at := e.driven[id], e.index(id)
	e.mu.Unlock()
	switch {
	case run != nil:
		return run.memo.ReadJournal(ctx)
	case at < 0:
		return nil, engine.ErrNotFound
	}
	return nil, nil
}

func (m *memo) signal(name, key string, value json.RawMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := [2]string{name, key}
	if key != "" && m.keys[k] {
		return
	}
	if m.keys == nil {
		m.keys = make(map[[2]string]bool)
	}
	m.keys[k] = true
	m.entries = append(m.entries, engine.JournalEntry{Name: name, Kind: engine.EntrySignal, Value: value, Came: m.next()})
}

// next returns the place of the next arrival.
func (m *memo) next() int64 {
	came := int64(0)
	for i := range m.entries {
		came = max(came, m.entries[i].Came)
	}
	return came + 1
}

// ReadJournal implements [engine.Journal].
func (m *memo) ReadJournal(context.Context) ([]engine.JournalEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries), nil
}

// Record implements [engine.Journal]. A child to which there is an answer has ended
// by the time it returns.
func (m *memo) Record(_ context.Context, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	out := make([]engine.JournalEntry, len(entries))
	for i, n := range entries {
		at := slices.IndexFunc(m.entries, func(e engine.JournalEntry) bool { return e.Kind != engine.EntrySignal && e.Name == n.Name })
		if at < 0 {
			e := engine.JournalEntry{Name: n.Name, Kind: n.Kind, Value: n.Value, Attempt: m.attempt}
			if n.Spawn != nil {
				if err := m.spawn(&e, n.Spawn); err != nil {
					return nil, err
				}
			}
			at = len(m.entries)
			m.entries = append(m.entries, e)
		}
		out[i] = m.entries[at]
	}
	return out, nil
}

// spawn records the child of an entry.
func (m *memo) spawn(e *engine.JournalEntry, child *engine.Message) error {
	ins, err := m.of.insert([]*engine.Message{child})
	if err != nil {
		return fmt.Errorf("child %s: %w", e.Name, err)
	}
	if ins[0].Existing {
		return &engine.KeyHeldError{Entry: e.Name, Holder: ins[0].ID}
	}
	e.Child = ins[0].ID
	if en := m.of.entries[m.of.index(e.Child)]; en.State.Final() {
		e.Came, e.State, e.Result, e.Reason = m.next(), en.State, en.Result, en.Reason
	}
	return nil
}
