package enginetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// journal returns the entries of a task, as an operator reads them.
func (b *bench) journal(id uuid.UUID) []engine.JournalEntry {
	b.Helper()
	return b.journalOn(b.e, id)
}

func (b *bench) journalOn(e engine.Engine, id uuid.UUID) []engine.JournalEntry {
	b.Helper()
	j, _ := engine.As[engine.Journaler](e)
	es, err := j.Journal(b.ctx(), id)
	if err != nil {
		b.Fatalf("Journal: %v", err)
	}
	return es
}

// signal sends a signal that must be taken.
func (b *bench) signal(id uuid.UUID, name, key, value string) {
	b.Helper()
	if err := b.signalOn(b.e, id, name, key, value); err != nil {
		b.Fatalf("Signal: %v", err)
	}
}

func (b *bench) signalOn(e engine.Engine, id uuid.UUID, name, key, value string) error {
	j, _ := engine.As[engine.Journaler](e)
	return j.Signal(b.ctx(), id, name, key, json.RawMessage(value))
}

// journal is the journal of the run.
func (h *handed) journal() engine.Journal {
	h.b.Helper()
	j, ok := h.d.Memo.(engine.Journal)
	if !ok {
		h.b.Fatal("Delivery.Memo is no Journal, although the engine is a Journaler")
	}
	return j
}

// read returns the entries of the run's journal.
func (h *handed) read() []engine.JournalEntry {
	h.b.Helper()
	es, err := h.journal().ReadJournal(h.b.ctx())
	if err != nil {
		h.b.Fatalf("ReadJournal: %v", err)
	}
	return es
}

// record adds entries that must be taken.
func (h *handed) record(es ...engine.NewEntry) []engine.JournalEntry {
	h.b.Helper()
	out, err := h.journal().Record(h.b.ctx(), es)
	if err != nil {
		h.b.Fatalf("Record: %v", err)
	}
	if len(out) != len(es) {
		h.b.Fatalf("Record of %d entries returned %d answers", len(es), len(out))
	}
	return out
}

// step is the entry of a step.
func step(name, value string) engine.NewEntry {
	return engine.NewEntry{Name: name, Kind: engine.EntryStep, Value: json.RawMessage(value)}
}

// child is the entry of a child of the run's task, of the name as well.
func (h *handed) child(entry, name string, edits ...func(*engine.Message)) engine.NewEntry {
	h.b.Helper()
	m := h.b.message(name, append([]func(*engine.Message){func(m *engine.Message) {
		m.Meta.Parent, m.Meta.Root, m.Meta.Entry = h.id(), h.id(), entry
	}}, edits...)...)
	return engine.NewEntry{Name: entry, Kind: engine.EntryChild, Value: json.RawMessage(`{"task":"` + name + `"}`), Spawn: m}
}

// suspend ends the run with OutcomeSuspend.
func (h *handed) suspend(w engine.Wait, after time.Duration) {
	h.conclude(engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w, After: after, Reason: "waits"})
}

// named returns the entry of the name, which must be there.
func (b *bench) named(es []engine.JournalEntry, name string) engine.JournalEntry {
	b.Helper()
	for _, e := range es {
		if e.Name == name {
			return e
		}
	}
	b.Fatalf("the journal has no entry %q; it has %s", name, entryNames(es))
	return engine.JournalEntry{}
}

func entryNames(es []engine.JournalEntry) string {
	var ns []string
	for _, e := range es {
		ns = append(ns, fmt.Sprintf("%c %s came=%d state=%s", e.Kind, e.Name, e.Came, e.State))
	}
	return strings.Join(ns, ", ")
}

// exactJSON compares as JSON, with numbers to the last digit.
func exactJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	for raw, v := range map[*json.RawMessage]*any{&a: &x, &b: &y} {
		d := json.NewDecoder(bytes.NewReader(*raw))
		d.UseNumber()
		if d.Decode(v) != nil {
			return false
		}
	}
	return reflect.DeepEqual(x, y)
}

// sameEntries fails the test unless got are the entries that were recorded, in
// order, by a run of the attempt.
func (b *bench) sameEntries(where string, got []engine.JournalEntry, want []engine.NewEntry, attempt int) {
	b.Helper()
	if len(got) != len(want) {
		b.Fatalf("%s: there are %d entries, want %d: %s", where, len(got), len(want), entryNames(got))
	}
	for i, g := range got {
		w := want[i]
		if g.Name != w.Name || g.Kind != w.Kind || !exactJSON(g.Value, w.Value) || g.Attempt != attempt || g.Came != 0 ||
			g.State != "" || g.Reason != "" || len(g.Result) != 0 {
			b.Errorf("%s: entry %d is %+v with value %s, want %c %q %s of attempt %d, which has not come",
				where, i, g, shown(g.Value), w.Kind, w.Name, shown(w.Value), attempt)
		}
		if (g.Child != uuid.Nil) != (w.Spawn != nil) {
			b.Errorf("%s: entry %q has the child %s", where, g.Name, g.Child)
		}
	}
}

// listed returns all pages of a listing.
func (b *bench) listed(q engine.Query) (all []*engine.Entry) {
	b.Helper()
	for {
		es, next, err := b.e.List(b.ctx(), q)
		if err != nil {
			b.Fatalf("List: %v", err)
		}
		all = append(all, es...)
		if q.Cursor = next; next == "" {
			return all
		}
	}
}
