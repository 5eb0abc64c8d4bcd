//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestServe_TakesOneOfALot: tasks that end at the same moment are written together.
// One of them that was taken from the worker meanwhile is refused, and the
// others are recorded.
func TestServe_TakesOneOfALot(t *testing.T) {
	const n = 24
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ms := make([]*engine.Message, n)
	for i := range ms {
		ms[i] = message("lot.task")
		ms[i].Priority = int8(i / (n / 2)) // so the second half is claimed first
	}
	if _, err := e.Insert(ctx, ms); err != nil {
		t.Fatal(err)
	}
	taken := map[uuid.UUID]bool{ms[3].Meta.ID: true, ms[7].Meta.ID: true, ms[8].Meta.ID: true, ms[n-1].Meta.ID: true}

	var began, ended sync.WaitGroup
	began.Add(n)
	ended.Add(n)
	release := make(chan struct{})
	refused := make(chan uuid.UUID, n)
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "w", Slots: n, Queues: []string{"default"}, Names: []string{"lot.task"},
			RunInline: func(_ context.Context, _ *engine.Delivery, o *engine.Outcome) {
				began.Done()
				<-release
				o.Kind = engine.OutcomeSucceed
				ended.Done()
			},
			Refused: func(d *engine.Delivery, _ engine.Outcome) { refused <- d.Message.Meta.ID },
		})
	}()
	began.Wait()

	// The runs end while another connection has the lock, so that their
	// outcomes wait for each other.
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for id := range taken {
		if _, err := tx.Exec("UPDATE tasks SET state = 2, queue = 'elsewhere' WHERE id = ?", id[:]); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	ended.Wait()
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}

	for range len(taken) {
		if id := <-refused; !taken[id] {
			t.Errorf("the task %s was refused, which was the worker's", id)
		}
	}
	for _, m := range ms {
		if taken[m.Meta.ID] {
			if en, err := e.Get(ctx, m.Meta.ID); err != nil || en.State != engine.StatePending {
				t.Errorf("a task that was taken: %+v, %v", en, err)
			}
		} else if en, err := e.Wait(ctx, m.Meta.ID); err != nil || en.State != engine.StateSucceeded || en.EndedAt.IsZero() {
			t.Errorf("a task of the worker's: %+v, %v", en, err)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if n := query[int](t, path, "SELECT count(DISTINCT lease) FROM tasks"); n != len(ms) {
		t.Errorf("%d tasks have %d leases", len(ms), n)
	}
	if len(refused) > 0 {
		t.Errorf("%d more were refused", len(refused))
	}
}
