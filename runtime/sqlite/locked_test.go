//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// lock takes SQLite's write lock as another program would.
func lock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = c.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	return func() {
		_, err := c.ExecContext(context.Background(), "ROLLBACK")
		assert.NoError(t, err)
		assert.NoError(t, c.Close())
		assert.NoError(t, db.Close())
	}
}

// TestEngine_CallsOnALockedFileEndWithTheirContext: while another program holds
// the write lock, every call ends with its context, and nothing that was given up
// is written later.
func TestEngine_CallsOnALockedFileEndWithTheirContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path, sqlite.Config{Logger: discard, BusyTimeout: time.Minute})
	there := message("file.task")
	_, err := e.InsertOne(t.Context(), there)
	require.NoError(t, err)
	unlock := lock(t, path)
	id := there.Meta.ID
	given := message("file.task")
	for name, call := range map[string]func(ctx context.Context) error{
		"Insert":    func(ctx context.Context) error { _, err := e.Insert(ctx, []*engine.Message{given}); return err },
		"InsertOne": func(ctx context.Context) error { _, err := e.InsertOne(ctx, given); return err },
		"Cancel":    func(ctx context.Context) error { return e.Cancel(ctx, id, "no") },
		"Retry":     func(ctx context.Context) error { return e.Retry(ctx, id) },
		"RunNow":    func(ctx context.Context) error { return e.RunNow(ctx, id) },
		"Delete":    func(ctx context.Context) error { return e.Delete(ctx, id) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		err := call(ctx)
		cancel()
		assert.ErrorIs(t, err, context.DeadlineExceeded, name)
		assert.Less(t, time.Since(began), 10*time.Second, name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = e.Get(ctx, id)
	assert.NoError(t, err, "reading goes on")
	unlock()
	entries, _, err := e.List(t.Context(), engine.Query{})
	require.NoError(t, err)
	require.Len(t, entries, 1, "what was given up is not written later")
	assert.Equal(t, engine.StatePending, entries[0].State)
	_, err = e.InsertOne(t.Context(), given)
	assert.NoError(t, err)
}

// TestServe_StopsWhileTheFileIsLocked: a run that saves its memo is held up for
// a second at most, and Serve returns soon after Abandon.
func TestServe_StopsWhileTheFileIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path, sqlite.Config{Logger: discard, BusyTimeout: time.Minute})
	m := message("file.task")
	_, err := e.InsertOne(t.Context(), m)
	require.NoError(t, err)
	began, locked, saved, goOn := make(chan struct{}), make(chan struct{}), make(chan error, 1), make(chan struct{})
	abandon, served := make(chan struct{}), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "w", Slots: 1, Queues: []string{"default"}, Names: []string{"file.task"}, ParkFor: time.Hour, Abandon: abandon,
			Run: func(ctx context.Context, d *engine.Delivery) engine.Outcome {
				close(began)
				<-locked
				saved <- d.Memo.SaveMemo(ctx, []byte(`1`))
				<-goOn
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	<-began
	unlock := lock(t, path)
	close(locked)
	within := func(what string, c <-chan error) error {
		select {
		case err := <-c:
			return err
		case <-time.After(time.Minute):
			t.Fatal(what)
			return nil
		}
	}
	require.ErrorIs(t, within("the run is held up by its memo", saved), context.DeadlineExceeded)
	stop()
	close(abandon)
	var unfinished *engine.UnfinishedError
	require.ErrorAs(t, within("Serve waits for the lock of another program", served), &unfinished)
	require.Len(t, unfinished.Tasks, 1)
	close(goOn)
	unlock()
}
