package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

// durable is the tools of a durable task's run in a test without an App. Its
// methods fail the test, and then give the task up.
type durable struct {
	b *bench
	d *engine.Delivery
}

// gaveUp is the panic of a durable.
type gaveUp struct{}

// durably makes a function of a durable task one for autoOn.
func (b *bench) durably(f func(d durable) engine.Outcome) func(context.Context, *engine.Delivery) engine.Outcome {
	return func(_ context.Context, d *engine.Delivery) (o engine.Outcome) {
		defer func() {
			if p := recover(); p == (gaveUp{}) {
				o = engine.Outcome{Kind: engine.OutcomeFail, Reason: "the test has failed"}
			} else if p != nil {
				panic(p)
			}
		}()
		return f(durable{b, d})
	}
}

func (d durable) do(what string, f func(engine.Journal) ([]engine.JournalEntry, error)) []engine.JournalEntry {
	es, err := f(d.d.Memo.(engine.Journal))
	if errors.Is(err, engine.ErrLeaseLost) { // its outcome is refused
		panic(gaveUp{})
	}
	if err != nil {
		d.b.Errorf("%s: %v", what, err)
		panic(gaveUp{})
	}
	return es
}

// argN are arguments with one number.
func argN(n int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)) }

// n is the number in the task's arguments.
func (d durable) n() (n int) {
	if err := json.Unmarshal(d.d.Message.Args, &struct{ N *int }{&n}); err != nil {
		d.b.Errorf("arguments %s: %v", d.d.Message.Args, err)
	}
	return n
}

// read returns the journal, and a Wait that has seen all of it.
func (d durable) read() (map[string]engine.JournalEntry, engine.Wait) {
	var w engine.Wait
	by := make(map[string]engine.JournalEntry)
	for _, e := range d.do("ReadJournal", func(j engine.Journal) ([]engine.JournalEntry, error) {
		return j.ReadJournal(context.Background())
	}) {
		by[e.Name] = e
		w.Seen = max(w.Seen, e.Came)
		if e.Failed() {
			w.Failed++
		}
	}
	return by, w
}

// spawn records children of the names, of one task.
func (d durable) spawn(task string, names []string, edits ...func(*engine.Message)) {
	es := make([]engine.NewEntry, len(names))
	for i, name := range names {
		h := handed{b: d.b, d: d.d}
		es[i] = h.child(name, task, edits...)
	}
	d.do("Record", func(j engine.Journal) ([]engine.JournalEntry, error) { return j.Record(context.Background(), es) })
}

// all spawns children of the names that are not there, and waits for all.
func (d durable) all(task string, names []string) engine.Outcome {
	by, w := d.read()
	var missing []string
	for _, name := range names {
		if _, ok := by[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		d.spawn(task, missing)
	}
	for _, name := range names {
		if by[name].Came == 0 {
			w.Need++
		}
	}
	if w.Need == 0 {
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(len(names))}
	}
	return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w, Reason: "waits"}
}

// autoOn is auto on another engine or handle.
func (b *bench) autoOn(e engine.Engine, names []string, run func(context.Context, *engine.Delivery) engine.Outcome,
	edits ...func(*engine.Worker)) *server {
	b.Helper()
	return b.serveOn(e, names, append(edits, func(w *engine.Worker) {
		w.Run = run
		w.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) { *o = run(ctx, d) }
	})...)
}
