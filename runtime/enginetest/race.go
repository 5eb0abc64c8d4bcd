package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var raceTests = []test{
	{name: "ConcludeAndAbandon", run: testRaceAbandon},
	{name: "CancelAndRun", run: testRaceCancel},
	{name: "AdminWhileRunning", run: testRaceAdmin},
	{name: "ManySlots", run: testManySlots},
	{name: "MemoFromManyGoroutines", run: testRaceMemo},
}

// testRaceAbandon: a run that ends while it is given up has either ended its
// task or is named, never both and never none of it.
func testRaceAbandon(b *bench) {
	const n = 4
	for range 10 {
		var ids []uuid.UUID
		for range n {
			ids = append(ids, b.insert("task.race"))
		}
		s := b.serve([]string{"task.race"}, slots(n))
		var hs []*handed
		for range n {
			hs = append(hs, s.next())
		}
		s.cancel()
		var wg sync.WaitGroup
		for _, h := range hs {
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"first"`)})
			})
		}
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		s.abandon()
		err := s.wait()
		wg.Wait()
		named := make(map[uuid.UUID]bool)
		var u *engine.UnfinishedError
		if errors.As(err, &u) {
			for _, t := range u.Tasks {
				named[t.ID] = true
			}
		}
		for range named {
			if r := s.nextRefused(); !named[r.d.Message.Meta.ID] {
				b.Errorf("the outcome of %s was refused, although it is not named as unfinished", r.d.Message.Meta.ID)
			}
		}
		next := b.auto([]string{"task.race"}, func(context.Context, *engine.Delivery) engine.Outcome {
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"again"`)}
		})
		for _, id := range ids {
			want := `"first"`
			if named[id] {
				want = `"again"`
			}
			if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, json.RawMessage(want)) {
				b.Errorf("named as unfinished: %v, but the result is %s, want %s", named[id], en.Result, want)
			}
		}
		next.mustStop()
	}
}

// testRaceCancel: tasks are cancelled while they wait, start, run and end.
// Each ends in one state, the one of its last run.
func testRaceCancel(b *bench) {
	var l log
	b.auto([]string{"task.race"}, func(ctx context.Context, d *engine.Delivery) engine.Outcome {
		l.add(d)
		ctx, cancel := d.Context(ctx)
		defer cancel()
		select {
		case <-ctx.Done():
			return engine.Outcome{Kind: engine.OutcomeCancel, Reason: "told"}
		case <-time.After(time.Duration(rand.IntN(3)) * time.Millisecond):
			if rand.IntN(3) == 0 {
				return engine.Outcome{Kind: engine.OutcomeRetry}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
	}, slots(4))
	var ids []uuid.UUID
	var wg sync.WaitGroup
	for range 100 {
		id := b.insert("task.race")
		ids = append(ids, id)
		wg.Go(func() {
			time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
			if err := b.e.Cancel(context.Background(), id, "told"); err != nil {
				b.Errorf("Cancel: %v", err)
			}
		})
	}
	wg.Wait()
	ended := make(map[engine.State]int)
	for _, id := range ids {
		en := b.ended(id)
		ended[en.State]++
		if en.State == engine.StateCancelled && en.Reason != "told" {
			b.Errorf("a cancelled task has the reason %q, want %q", en.Reason, "told")
		}
		if en.State == engine.StateFailed {
			b.Errorf("a task failed: %q", en.Reason)
		}
	}
	b.Logf("ended as %v", ended)
}

// testRaceAdmin: all operations of an operator, all at once, under load.
func testRaceAdmin(b *bench) {
	b.auto([]string{"task.race"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		switch rand.IntN(4) {
		case 0:
			return engine.Outcome{Kind: engine.OutcomeFail, Reason: "f"}
		case 1:
			return engine.Outcome{Kind: engine.OutcomeDelay, After: time.Millisecond}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, slots(4))
	var mu sync.Mutex
	var ids []uuid.UUID
	pick := func() uuid.UUID {
		mu.Lock()
		defer mu.Unlock()
		if len(ids) == 0 {
			return uuid.New()
		}
		return ids[rand.IntN(len(ids))]
	}
	expected := []error{engine.ErrNotFound, engine.ErrRunning, engine.ErrState}
	ops := []func(ctx context.Context) error{
		func(ctx context.Context) error {
			id := uuid.Must(uuid.NewV7())
			ins, err := b.e.Insert(ctx, []*engine.Message{b.message("task.race", func(m *engine.Message) { m.Meta.ID = id })})
			if err == nil {
				mu.Lock()
				ids = append(ids, ins[0].ID)
				mu.Unlock()
			}
			return err
		},
		func(ctx context.Context) error { return b.e.Cancel(ctx, pick(), "c") },
		func(ctx context.Context) error { return b.e.Retry(ctx, pick()) },
		func(ctx context.Context) error { return b.e.Delete(ctx, pick()) },
		func(ctx context.Context) error { _, err := b.e.Get(ctx, pick()); return err },
		func(ctx context.Context) error {
			_, _, err := b.e.List(ctx, engine.Query{Queue: b.queue, Limit: 5})
			return err
		},
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 60 {
				err := ops[rand.IntN(len(ops))](context.Background())
				known := err == nil
				for _, want := range expected {
					known = known || errors.Is(err, want)
				}
				if !known {
					b.Errorf("an operation under load: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		b.poll("every task that was not deleted ends", func() bool {
			en, err := b.e.Get(b.ctx(), id)
			return errors.Is(err, engine.ErrNotFound) || err == nil && en.State.Final()
		})
	}
}

func testManySlots(b *bench) {
	const n = 100
	s := b.serve([]string{"task.slot"}, slots(n))
	ms := make([]*engine.Message, n)
	for i := range ms {
		ms[i] = b.message("task.slot")
	}
	ids := b.batch(ms...)
	hs := make([]*handed, n)
	for i := range hs {
		hs[i] = s.next() // all at the same time
	}
	for _, h := range hs {
		h.succeed()
	}
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
}

// testRaceMemo: the memo is the last one saved, and no concurrent call is
// lost.
func testRaceMemo(b *bench) {
	id := b.insert("task.memo")
	s := b.serve([]string{"task.memo"})
	h := s.next()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				if err := h.d.Memo.SaveMemo(context.Background(), json.RawMessage(fmt.Sprintf(`{"from":%d,"n":%d}`, i, j))); err != nil {
					b.Errorf("SaveMemo: %v", err)
				}
				if memo, err := h.d.Memo.LoadMemo(context.Background()); err != nil || !json.Valid(memo) {
					b.Errorf("LoadMemo: %s, %v", memo, err)
				}
			}
		})
	}
	wg.Wait()
	h.save(`"last"`)
	h.succeed()
	b.memoIs("Entry after the end", b.until(id, engine.StateSucceeded).Memo, `"last"`)
	err := h.d.Memo.SaveMemo(b.ctx(), json.RawMessage(`"after the end"`))
	b.is("SaveMemo after the run was concluded", err, engine.ErrLeaseLost)
	b.memoIs("Entry after a late SaveMemo", b.get(id).Memo, `"last"`)
}
