package enginetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// keepTests are about how long records stay.
var keepTests = []test{
	{name: "FailedOnesApart", run: testKeepFailed},
	{name: "AsLongAsTheKey", run: testKeepAsLongAsKey},
}

// ends lets a new task end in the state, in a queue that s serves.
func (b *bench) ends(s *server, state engine.State, edits ...func(*engine.Message)) uuid.UUID {
	b.Helper()
	kind := map[engine.State]engine.OutcomeKind{
		engine.StateSucceeded: engine.OutcomeSucceed, engine.StateFailed: engine.OutcomeFail,
		engine.StateCancelled: engine.OutcomeCancel,
	}[state]
	id := b.insert("task.keep", edits...)
	s.next().conclude(engine.Outcome{Kind: kind, Reason: "r"})
	return id
}

// forgotten waits until none of the tasks is found any more. Engines forget
// from time to time, those on servers also soon after a worker starts.
func (b *bench) forgotten(what string, ids ...uuid.UUID) {
	b.Helper()
	b.serve([]string{"task.none"})
	b.poll(what, func() bool {
		for _, id := range ids {
			switch _, err := b.e.Get(b.ctx(), id); {
			case err == nil:
				return false
			case !errors.Is(err, engine.ErrNotFound):
				b.Fatalf("Get: %v", err)
			}
		}
		return true
	})
}

func testKeepFailed(b *bench) {
	short, long := 4*b.o.Step, time.Hour
	s := b.serve([]string{"task.keep"}, slots(1))
	var stay, gone []uuid.UUID
	for range 2 {
		stay = append(stay,
			b.ends(s, engine.StateSucceeded, keep(long, short)),
			b.ends(s, engine.StateFailed, keep(short, long)),
			b.ends(s, engine.StateCancelled, keep(short, long)))
		gone = append(gone,
			b.ends(s, engine.StateSucceeded, keep(short, long)),
			b.ends(s, engine.StateFailed, keep(long, short)),
			b.ends(s, engine.StateCancelled, keep(long, short)))
	}
	waits := b.insert("task.later", dueIn(time.Hour), keep(short, long))
	b.cancel(b.e, waits, "no")
	stay = append(stay, waits, b.insert("task.later", dueIn(time.Hour), keep(short, short)))
	s.mustStop()
	time.Sleep(2 * short)
	b.forgotten("records that were kept for their time are forgotten", gone...)
	for _, id := range stay {
		if en, err := b.e.Get(b.ctx(), id); err != nil {
			b.Errorf("Get of a record to be kept for an hour: %v", err)
		} else if !en.Message.Meta.EnqueuedAt.IsZero() && en.Message.KeepFailed == 0 {
			b.Errorf("the message of a task that is %s has no KeepFailed", en.State)
		}
	}
}

// testKeepAsLongAsKey: the task that an Existing answer names can be looked
// up.
func testKeepAsLongAsKey(b *bench) {
	short := 4 * b.o.Step
	k := key("k"+b.queue, time.Hour)
	s := b.serve([]string{"task.keep"}, slots(1))
	first := b.ends(s, engine.StateSucceeded, k, keep(short, short))
	brief := b.ends(s, engine.StateSucceeded, key("brief"+b.queue, short), keep(short, short))
	plain := b.ends(s, engine.StateSucceeded, keep(short, short))
	failed := b.ends(s, engine.StateFailed, key("failed"+b.queue, time.Hour), keep(short, short))
	s.mustStop()
	time.Sleep(2 * short)
	b.forgotten("records that hold no key any more are forgotten after their time", plain, brief, failed)
	if en := b.get(first); en.State != engine.StateSucceeded {
		b.Errorf("the task that holds the key is %s, want %s", en.State, engine.StateSucceeded)
	}
	b.sameTask("the key's task was to be kept for less than its key", b.insertInto(b.e, b.message("task.keep", k)), first)
	b.lists("all that is left", engine.Query{}, first)
}
