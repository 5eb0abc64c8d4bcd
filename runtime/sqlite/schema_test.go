//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

var update = flag.Bool("update", false, "write testdata/vN.sqlite for the newest schema")

// fixtureTasks are the tasks in the fixtures, by name, and how each is shown.
var fixtureTasks = []struct {
	name  string
	state engine.State
}{
	{"fixture.Pending", engine.StatePending},
	{"fixture.Scheduled", engine.StateScheduled},
	{"fixture.Retrying", engine.StateRetrying},
	{"fixture.Succeeded", engine.StateSucceeded},
	{"fixture.Failed", engine.StateFailed},
	{"fixture.Cancelled", engine.StateCancelled},
}

// writeFixture makes a file with a task in each state.
func writeFixture(t *testing.T, path string) {
	_ = os.Remove(path)
	e, err := sqlite.Open(path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var cancelled uuid.UUID
	for _, f := range fixtureTasks {
		m := message(f.name)
		m.Keep = 100 * 365 * 24 * time.Hour
		m.Meta.Tags, m.Key, m.KeyFor = map[string]string{"kind": f.name}, "key of "+f.name, 100*365*24*time.Hour
		if f.state == engine.StateScheduled {
			m.Due = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		if f.state == engine.StateCancelled {
			cancelled = m.Meta.ID
		}
		if _, err := e.InsertOne(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Cancel(ctx, cancelled, "not needed"); err != nil {
		t.Fatal(err)
	}
	left := 3
	err = e.Serve(ctx, &engine.Worker{
		ID: "the worker of the fixture", Slots: 1, Queues: []string{"default"}, ParkFor: 100 * 365 * 24 * time.Hour,
		Names: []string{"fixture.Failed", "fixture.Retrying", "fixture.Succeeded"},
		Run: func(_ context.Context, d *engine.Delivery) engine.Outcome {
			if left--; left == 0 {
				stop()
			}
			switch d.Message.Name {
			case "fixture.Failed":
				return engine.Outcome{Kind: engine.OutcomeFail, Reason: "it went wrong", Memo: []byte(`{"a":1}`)}
			case "fixture.Retrying":
				return engine.Outcome{Kind: engine.OutcomeRetry, After: 100 * 365 * 24 * time.Hour, Reason: "not yet"}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: []byte(`{"done":true}`)}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMigrations opens a file of each released version: its tasks are there and
// run.
func TestMigrations(t *testing.T) {
	newest := filepath.Join("testdata", fmt.Sprintf("v%d.sqlite", sqlite.SchemaVersion))
	if *update {
		writeFixture(t, newest)
	}
	fixtures, err := filepath.Glob(filepath.Join("testdata", "v*.sqlite"))
	if err != nil || len(fixtures) != sqlite.SchemaVersion {
		t.Fatalf("the fixtures are %v, %v; want one of each version up to %d", fixtures, err, sqlite.SchemaVersion)
	}
	for _, fixture := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(fixture), ".sqlite"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tasks.db")
			if err := os.WriteFile(path, read(t, fixture), 0o600); err != nil {
				t.Fatal(err)
			}
			testFixture(t, path)
		})
	}
}

func testFixture(t *testing.T, path string) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	e := open(t, path)
	if v := query[int](t, path, "SELECT max(version) FROM taskctx_schema"); v != sqlite.SchemaVersion {
		t.Errorf("the version is %d after opening", v)
	}
	ids := make(map[string]uuid.UUID)
	for _, f := range fixtureTasks {
		entries, _, err := e.List(ctx, engine.Query{Name: f.name, Tag: "kind", TagValue: f.name})
		if err != nil || len(entries) != 1 {
			t.Fatalf("%s: %d entries, %v", f.name, len(entries), err)
		}
		en := entries[0]
		ids[f.name] = en.ID
		if en.State != f.state || string(en.Message.Args) != `{"n":1}` || en.Message.Meta.Retries != 3 {
			t.Errorf("%s: %+v with %+v", f.name, en, en.Message)
		}
		if f.state == engine.StateFailed || f.state == engine.StateCancelled {
			continue // it has let go of its key
		}
		in, err := e.InsertOne(ctx, &engine.Message{Name: f.name, Queue: "default", Key: "key of " + f.name, KeyFor: time.Hour})
		if err != nil || !in.Existing || in.ID != en.ID {
			t.Errorf("%s: its key gives %+v, %v", f.name, in, err)
		}
	}
	en, err := e.Get(ctx, ids["fixture.Failed"])
	if err != nil || en.Reason != "it went wrong" || string(en.Memo) != `{"a":1}` || en.Worker != "the worker of the fixture" {
		t.Errorf("the failed task: %+v, %v", en, err)
	}
	if err := e.Retry(ctx, ids["fixture.Failed"]); err != nil {
		t.Error(err)
	}
	in, err := e.InsertOne(ctx, &engine.Message{Name: "x", Queue: "default", Key: "key of fixture.Failed", KeyFor: time.Hour})
	if err != nil || !in.Existing || in.ID != en.ID {
		t.Errorf("the key that a retry took again gives %+v, %v", in, err)
	}
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "w", Slots: 2, Queues: []string{"default"}, Names: []string{"fixture.Failed", "fixture.Pending"}, ParkFor: time.Hour,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	for _, name := range []string{"fixture.Failed", "fixture.Pending"} {
		if en, err := e.Wait(ctx, ids[name]); err != nil || en.State != engine.StateSucceeded {
			t.Errorf("%s: %+v, %v", name, en, err)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if s := query[string](t, path, "PRAGMA integrity_check"); s != "ok" {
		t.Errorf("integrity_check: %s", s)
	}
}

// TestMigrations_Steps: a migration takes place as a whole or not at all, and
// twice is as good as once.
func TestMigrations_Steps(t *testing.T) {
	path := madeFile(t, 3)
	const next = sqlite.SchemaVersion + 1
	step := func(version int) string { return fmt.Sprintf("schema/%03d.sql", version) }
	steps := fstest.MapFS{
		step(next):     {Data: []byte("ALTER TABLE tasks ADD COLUMN colour TEXT DEFAULT 'blue'; CREATE TABLE shades(x);")},
		step(next + 1): {Data: []byte("CREATE TABLE other(x); INSERT INTO no_such_table VALUES (1);")},
	}
	err := sqlite.Migrate(path, steps, next+1)
	require.Error(t, err, "a broken step")
	t.Log(err)
	const version = "SELECT max(version) FROM taskctx_schema"
	assert.Equal(t, sqlite.SchemaVersion, query[int](t, path, version), "the version after a broken migration")
	assert.Zero(t, query[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE name IN ('shades', 'other')"))
	for range 2 {
		require.NoError(t, sqlite.Migrate(path, steps, next))
	}
	assert.Equal(t, next, query[int](t, path, version))
	assert.Equal(t, "blue", query[string](t, path, "SELECT colour FROM tasks LIMIT 1"))
	_, err = sqlite.Open(path, sqlite.Config{})
	assert.ErrorIs(t, err, sqlite.ErrNewer, "a step that does not say from which version on its file can be read")
}

// TestOpen_NewerSchemaThatOnlyAdds: a program goes on with a file that a newer
// one has only added to, and leaves it at its version.
func TestOpen_NewerSchemaThatOnlyAdds(t *testing.T) {
	path := madeFile(t, 3)
	const next = sqlite.SchemaVersion + 1
	steps := fstest.MapFS{fmt.Sprintf("schema/%03d.sql", next): {Data: fmt.Appendf(nil, `ALTER TABLE tasks ADD COLUMN colour TEXT DEFAULT 'blue';
		CREATE TABLE shade(x); INSERT INTO taskctx_schema(version, readable_from) VALUES (%d, 1);`, next)}}
	serving := open(t, path) // of before the migration, and goes on
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- serving.Serve(ctx, &engine.Worker{
			ID: "w", Slots: 2, Queues: []string{"default"}, Names: []string{"file.task"}, ParkFor: time.Hour,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	require.NoError(t, sqlite.Migrate(path, steps, next))
	e := open(t, path)
	m := message("file.task")
	_, err := e.InsertOne(ctx, m)
	require.NoError(t, err)
	entry, err := e.Wait(ctx, m.Meta.ID)
	require.NoError(t, err)
	assert.Equal(t, engine.StateSucceeded, entry.State)
	assert.Equal(t, next, query[int](t, path, "SELECT max(version) FROM taskctx_schema"))
	stop()
	assert.NoError(t, <-served)
}

// TestMigrations_KeepTheStatementsOfVersion1: a program of version 1 still starts
// on a file of the newest version, and its statements mean the same.
func TestMigrations_KeepTheStatementsOfVersion1(t *testing.T) {
	path := madeFile(t, 1)
	require.Equal(t, 1, query[int](t, path, "PRAGMA user_version"), "what version 1 looks at when it opens a file")
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	for _, text := range strings.Split(string(read(t, filepath.Join("testdata", "v1_statements.sql"))), ";\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		st, err := db.Prepare(text)
		if assert.NoError(t, err, text) {
			assert.NoError(t, st.Close()) //nolint:sqlclosecheck // it is closed before the next
		}
	}
}

// TestServe_FileMigratedByANewerVersion: when another process brings the file to a newer
// version, this one ends its work with an error.
func TestServe_FileMigratedByANewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(context.Background(), &engine.Worker{ID: "w", Slots: 1, Queues: []string{"default"}})
	}()
	for liveWorkers(t, path) == 0 {
		time.Sleep(time.Millisecond)
	}
	change(t, path, "PRAGMA user_version = 1000")
	if err := <-served; !errors.Is(err, sqlite.ErrNewer) {
		t.Errorf("Serve: %v, want ErrNewer", err)
	}
	if _, err := e.InsertOne(context.Background(), message("file.task")); !errors.Is(err, sqlite.ErrNewer) {
		t.Errorf("Insert: %v, want ErrNewer", err)
	}
}

// TestOpen_ReadOnlyFile: a file that this user may not write is a clear error.
func TestOpen_ReadOnlyFile(t *testing.T) {
	path := madeFile(t, 1)
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		if os.Geteuid() == 0 && !asNobody() {
			opened <- nil
			return
		}
		e, err := sqlite.Open(path, sqlite.Config{})
		if err == nil {
			e.Close()
			err = errors.New("the file was opened")
		}
		opened <- err
	}()
	err := <-opened
	if err == nil {
		t.Skip("root may write everything")
	}
	if !errors.Is(err, sqlite.ErrReadOnly) {
		t.Errorf("%v, want ErrReadOnly", err)
	}
	t.Log(err)
}
