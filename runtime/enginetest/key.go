package enginetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var keyTests = []test{
	{name: "SecondIsTheFirst", run: testKeyHeld},
	{name: "FreeAfterItsTime", run: testKeyExpires},
	{name: "WithinABatch", run: testKeyInBatch},
	{name: "OtherKeys", run: testKeyOthers},
	{name: "Scheduled", run: testKeyScheduled},
	{name: "ManyAtOnce", run: testKeyRace},
	{name: "BetweenHandles", run: testKeySecondHandle, needs: need{second: true}},
}

// keyed inserts a message with the key and returns the answer.
func (b *bench) keyed(e engine.Inserter, k string, d time.Duration) engine.Inserted {
	b.Helper()
	return b.insertInto(e, b.message("task.keyed", key(k+b.queue, d)))
}

// sameTask fails the test unless the answer names the first task.
func (b *bench) sameTask(when string, in engine.Inserted, first uuid.UUID) {
	b.Helper()
	if !in.Existing || in.ID != first {
		b.Errorf("%s: Insert returned %+v, want Existing and the id of the task that holds the key, %s", when, in, first)
	}
}

func testKeyHeld(b *bench) {
	first := b.keyed(b.e, "k", time.Hour)
	if first.Existing {
		b.Fatal("the first message with a key is answered with Existing")
	}
	b.sameTask("second message of the key", b.keyed(b.e, "k", time.Hour), first.ID)
	b.sameTask("third message of the key", b.keyed(b.e, "k", time.Hour), first.ID)
	s := b.serve([]string{"task.keyed", "task.end"}, slots(1))
	s.nextNamed("task.keyed").succeed()
	b.insert("task.end")
	s.nextNamed("task.end").succeed()
	s.none("a message whose key is held must not be stored")
}

func testKeyExpires(b *bench) {
	// The store may take longer than the key's time on a busy machine: then with more.
	hold, began, key := 2*b.o.Step, time.Time{}, ""
	var first, second engine.Inserted
	for asked := hold; asked >= hold/2; asked = time.Since(began) {
		hold, began, key = 2*hold, time.Now(), fmt.Sprint("k", hold)
		first, second = b.keyed(b.e, key, hold), b.keyed(b.e, key, hold)
	}
	b.sameTask("at once", second, first.ID)
	var next engine.Inserted
	b.poll("the key is free after KeyFor, although its task still waits", func() bool {
		asked := time.Now()
		next = b.keyed(b.e, key, time.Hour)
		// A clock of the store's own may be a little off.
		if !next.Existing && asked.Sub(began) < hold/2 {
			b.Fatalf("the key was free %v after it was taken for %v", asked.Sub(began), hold)
		}
		return !next.Existing
	})
	if next.ID == first.ID {
		b.Error("the key was free, but the new message has the id of the old task")
	}
	b.sameTask("held by the second task", b.keyed(b.e, key, hold), next.ID)
	b.get(first.ID)
}

func testKeyInBatch(b *bench) {
	k := key("k"+b.queue, time.Hour)
	ms := []*engine.Message{b.message("task.a", k), b.message("task.b"), b.message("task.c", k)}
	ins, err := b.e.Insert(b.ctx(), ms)
	if err != nil {
		b.Fatalf("Insert of a batch with a key twice: %v", err)
	}
	if len(ins) != 3 {
		b.Fatalf("Insert of 3 messages returned %d answers", len(ins))
	}
	if ins[0].Existing || ins[1].Existing {
		b.Errorf("the first of the key and the one without are answered with %+v and %+v, want both stored", ins[0], ins[1])
	}
	b.sameTask("the second of the key in one batch", ins[2], ins[0].ID)
	first := ins[0].ID
	ins, err = b.e.Insert(b.ctx(), []*engine.Message{b.message("task.d"), b.message("task.e", k)})
	if err != nil {
		b.Fatalf("Insert of a batch with a held key: %v", err)
	}
	if ins[0].Existing {
		b.Error("the message without a key is answered with Existing")
	}
	b.sameTask("a held key in a batch", ins[1], first)
}

func testKeyOthers(b *bench) {
	if b.keyed(b.e, "k", time.Hour).Existing || b.keyed(b.e, "K", time.Hour).Existing || b.keyed(b.e, "k ", time.Hour).Existing {
		b.Error("keys that differ are taken for the same")
	}
	for range 3 {
		if b.insertInto(b.e, b.message("task.none")).Existing {
			b.Error("messages without a key are taken for the same")
		}
	}
	long := strings.Repeat("k", 300)
	first := b.keyed(b.e, long, time.Hour)
	b.sameTask("a key of 300 bytes", b.keyed(b.e, long, time.Hour), first.ID)
}

func testKeyScheduled(b *bench) {
	in := b.insertInto(b.e, b.message("task.keyed", key("k"+b.queue, 2*time.Hour), dueIn(time.Hour)))
	b.sameTask("a scheduled task holds its key", b.keyed(b.e, "k", time.Hour), in.ID)
}

func testKeyRace(b *bench) {
	const n = 16
	answers := make([]engine.Inserted, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		m := b.message("task.keyed", key("k"+b.queue, time.Hour))
		wg.Go(func() {
			ins, err := b.e.Insert(b.ctx(), []*engine.Message{m})
			if errs[i] = err; err == nil {
				answers[i] = ins[0]
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		b.Fatalf("Insert: %v", err)
	}
	stored := 0
	for _, in := range answers {
		if !in.Existing {
			stored++
		}
		if in.ID != answers[0].ID {
			b.Errorf("inserts of one key at the same time were answered with the ids %s and %s", in.ID, answers[0].ID)
		}
	}
	if stored != 1 {
		b.Errorf("of %d inserts of one key at the same time %d were stored, want 1", n, stored)
	}
}

func testKeySecondHandle(b *bench) {
	other := b.second()
	first := b.keyed(b.e, "k", time.Hour)
	b.sameTask("by another handle", b.keyed(other, "k", time.Hour), first.ID)
}
