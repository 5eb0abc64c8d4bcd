package enginetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// testBereftPlain: a task that was enqueued while its function was not durable, and whose
// run says that it is by now, is a parent as any: its children are cancelled after it
// has failed, after it was cancelled while it waited, was suspended or was to be
// retried, and a retry by hand forgets those that did not succeed.
func testBereftPlain(b *bench) {
	s := b.serve([]string{"task.parent"})
	begin := func() (h *handed, child uuid.UUID) {
		b.insert("task.parent", func(m *engine.Message) { m.Meta.Version = engine.WirePlain })
		h = s.next()
		return h, h.record(h.child("c", "task.child", dueIn(time.Hour)))[0].Child
	}
	failed, child := begin()
	failed.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no", Durable: true})
	b.until(failed.id(), engine.StateFailed)
	b.cancelled(child, engine.ParentEnded(failed.id(), engine.StateFailed))

	suspended, child := begin()
	suspended.conclude(engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &engine.Wait{Need: 1}, Durable: true})
	b.until(suspended.id(), engine.StateWaiting)
	b.cancel(b.e, suspended.id(), "by hand")
	b.cancelled(child, engine.ParentEnded(suspended.id(), engine.StateCancelled))

	retried, child := begin()
	retried.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "no", Durable: true})
	b.until(retried.id(), engine.StateRetrying)
	b.cancel(b.e, retried.id(), "by hand")
	b.cancelled(child, engine.ParentEnded(retried.id(), engine.StateCancelled))

	running, child := begin()
	b.cancel(b.e, running.id(), "by hand")
	running.stopped()
	running.conclude(engine.Outcome{Kind: engine.OutcomeRetry, Durable: true})
	b.cancelled(running.id(), "by hand")
	b.cancelled(child, engine.ParentEnded(running.id(), engine.StateCancelled))

	b.retry(failed.id())
	again := s.nextID(failed.id())
	if es := again.read(); len(es) != 0 {
		b.Errorf("the journal of a task that was retried by hand has %s, want the cancelled child forgotten", entryNames(es))
	}
	again.succeed()
}
