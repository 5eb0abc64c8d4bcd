// Package enginetest tests an implementation of [engine.Engine] against the
// whole of its contract. An engine's author calls [Run] from a test:
//
//	func TestEngine(t *testing.T) {
//		enginetest.Run(t, func(t testing.TB) engine.Engine {
//			e, err := myengine.Open(t.TempDir())
//			if err != nil {
//				t.Fatal(err)
//			}
//			t.Cleanup(func() { e.Close() })
//			return e
//		}, enginetest.Options{})
//	}
//
// Each subtest tests one promise, and its failures say how the engine breaks
// it. The suite relies on no duration: it waits for each event, however slow
// the engine, and proves the absence of one by a later event.
package enginetest

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Options describe the engine under test. The zero value is right for an
// engine that lives in one process and has all features.
type Options struct {
	// Second opens another handle on the storage of an engine from open, as
	// another process would. It closes the handle with t.Cleanup. Without it
	// the tests between processes are left out.
	Second func(t testing.TB, first engine.Engine) engine.Engine

	// Pause makes the handle behave as if its process were suspended: it
	// renews no lease, and its writes wait until resume is called. Without it,
	// or without Second, the tests of leases are left out.
	Pause func(t testing.TB, e engine.Engine) (resume func())

	// Lease is the longest time for which a paused handle keeps its tasks.
	// Tests of leases take a few times as long.
	Lease time.Duration

	// Bounded opens an engine that holds capacity tasks that have not ended,
	// and then answers ErrQueueFull. Without it those tests are left out.
	Bounded func(t testing.TB, capacity int) engine.Engine

	// Logged opens an engine that logs to l. It is asked to tell once of the tasks
	// that no worker knows, in a line that names them, and when they fail. Without
	// it that test is left out.
	Logged func(t testing.TB, l *slog.Logger) engine.Engine

	// Remove deletes a task that does not run from the storage past the
	// engine, as a tool of the storage would. Without it the tests of foreign
	// deletions are left out.
	Remove func(t testing.TB, e engine.Engine, id uuid.UUID)

	// Begin begins a transaction on the engine's database as a program does that
	// has its own tables there. Without it the tests of an [engine.Transactor] are
	// left out.
	Begin func(t testing.TB, e engine.Engine) Transaction

	// Foreign begins transactions that the engine must refuse, by what they are.
	Foreign map[string]func(t testing.TB) Transaction

	// Unsupported lists the features that the engine lacks. The suite then
	// tests that the engine answers ErrUnsupported.
	Unsupported []Feature

	// Step is the unit of the delays in the tests. It defaults to 50 ms. An
	// engine that polls for due tasks needs at least its poll interval.
	Step time.Duration

	// Patience is how long the suite waits for each event before it fails. It
	// defaults to a minute, and is added to Lease.
	Patience time.Duration

	// Tasks is how many tasks the tests of many tasks enqueue, 500 by default.
	Tasks int
}

// Feature is an ability that not every engine has.
type Feature string

// Features that an engine may lack.
const (
	// Priorities: Message.Priority other than 0.
	Priorities Feature = "priorities"
	// AtomicBatches: Insert stores all messages or none. An engine without them
	// answers for each message in Inserted.Err. Nothing is tested in its place.
	AtomicBatches Feature = "atomic batches"
	// Order: due tasks of equal priority run in the order of Due, then of
	// insertion. Nothing is tested in its place.
	Order Feature = "order"
	// ListOrder: List returns the oldest first. Each task is still returned
	// once.
	ListOrder Feature = "list order"
	// PausedNames: an engine.Pauser pauses the tasks of a name, not only queues.
	PausedNames Feature = "paused names"
	// NewestFirst: List returns the newest first if asked to.
	NewestFirst Feature = "newest first"
)

func (o Options) lacks(f Feature) bool {
	for _, u := range o.Unsupported {
		if u == f {
			return true
		}
	}
	return false
}

// Run tests the engines that open returns, a new one for each subtest. They
// may share a storage: every subtest has a queue and keys of its own. open
// closes what it opened with t.Cleanup, and fails the test if it cannot open.
func Run(t *testing.T, open func(t testing.TB) engine.Engine, o Options) {
	if o.Step <= 0 {
		o.Step = 50 * time.Millisecond
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	o.Patience += o.Lease
	if o.Tasks <= 0 {
		o.Tasks = 500
	}
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Insert", insertTests},
		{"Key", keyTests},
		{"KeyHold", holdTests},
		{"Replace", replaceTests},
		{"Keep", keepTests},
		{"Full", fullTests},
		{"Outcome", outcomeTests},
		{"Memo", memoTests},
		{"Order", orderTests},
		{"Weight", weightTests},
		{"Slots", slotTests},
		{"Names", nameTests},
		{"Cancel", cancelTests},
		{"Retry", retryTests},
		{"RunNow", runNowTests},
		{"Delete", deleteTests},
		{"List", listTests},
		{"Wait", waitTests},
		{"Stop", stopTests},
		{"Lease", leaseTests},
		{"Count", countTests},
		{"Pause", pauseTests},
		{"Look", lookTests},
		{"History", historyTests},
		{"Limit", limitTests},
		{"Rate", rateTests},
		{"Hostile", hostileTests},
		{"Race", slices.Concat(raceTests, journalRaceTests)},
		{"Many", slices.Concat(manyTests, journalManyTests)},
		{"Journal", journalTests},
		{"Transaction", transactionTests},
		{"Suspend", suspendTests},
		{"Ends", endsTests},
		{"Bereft", bereftTests},
		{"Signal", signalTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, tc := range group.tests {
				t.Run(tc.name, func(t *testing.T) {
					if why := tc.needs.missing(o); why != "" {
						t.Skip(why)
					}
					b := newBench(t, open, o)
					if _, ok := engine.As[engine.Journaler](b.e); tc.needs.journal && !ok {
						t.Skip("the engine has no journals: it is no engine.Journaler")
					}
					tc.run(b)
				})
			}
		})
	}
}

// test is the test of one promise.
type test struct {
	name  string
	run   func(b *bench)
	needs need
}

// need is what a test requires of the options.
type need struct {
	second, pause, bounded, remove bool
	logged                         bool
	journal                        bool // a Journaler
	begin, foreign                 bool // transactions
	feature                        Feature
}

func (n need) missing(o Options) string {
	switch {
	case n.second && o.Second == nil:
		return "the engine lives in one process: Options.Second is not set"
	case n.pause && (o.Pause == nil || o.Lease <= 0):
		return "the engine has no leases: Options.Pause or Options.Lease is not set"
	case n.bounded && o.Bounded == nil:
		return "the engine is not bounded: Options.Bounded is not set"
	case n.logged && o.Logged == nil:
		return "the engine does not log: Options.Logged is not set"
	case n.remove && o.Remove == nil:
		return "nothing else writes to the engine's storage: Options.Remove is not set"
	case n.begin && o.Begin == nil:
		return "the engine writes in no transaction of the caller's: Options.Begin is not set"
	case n.foreign && len(o.Foreign) == 0:
		return "there are no other databases: Options.Foreign is not set"
	case n.feature != "" && o.lacks(n.feature):
		return "the engine does not support " + string(n.feature)
	}
	return ""
}

// ctx returns a context for calls that must end within the patience.
func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), b.o.Patience)
	b.Cleanup(cancel)
	return ctx
}
