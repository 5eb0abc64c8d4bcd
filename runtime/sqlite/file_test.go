//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// query runs a query on the file as another program would, and returns its
// first value.
func query[T any](t testing.TB, path, text string, args ...any) T {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var v T
	if err := db.QueryRow(text, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// change changes the file as another program would.
func change(t testing.TB, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func liveWorkers(t testing.TB, path string) int {
	return query[int](t, path, "SELECT count(*) FROM workers WHERE ended_at = 1 << 62")
}

func message(name string) *engine.Message {
	return &engine.Message{
		Name: name, Queue: "default", Args: []byte(`{"n":1}`), Keep: time.Hour,
		Meta: engine.Meta{Version: 1, ID: uuid.Must(uuid.NewV7()), EnqueuedAt: time.Now().UTC(), Retries: 3},
	}
}

// madeFile returns a closed file with some tasks.
func madeFile(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tasks.db")
	e, err := sqlite.Open(path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := e.Insert(context.Background(), []*engine.Message{message("file.task")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOpen_RefusedFiles: a file that is not for this package is a clear error, and
// stays as it is.
func TestOpen_RefusedFiles(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(t *testing.T) string
		want error
	}{
		{"text", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "tasks.db")
			if err := os.WriteFile(path, []byte("These are not the tasks you are looking for."), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, sqlite.ErrDamaged},
		{"cut off", func(t *testing.T) string {
			path := madeFile(t, 300)
			if err := os.Truncate(path, int64(len(read(t, path))/2)); err != nil {
				t.Fatal(err)
			}
			return path
		}, sqlite.ErrDamaged},
		{"header only", func(t *testing.T) string {
			path := madeFile(t, 1)
			if err := os.Truncate(path, 60); err != nil {
				t.Fatal(err)
			}
			return path
		}, sqlite.ErrDamaged},
		{"schema overwritten", func(t *testing.T) string {
			path := madeFile(t, 1)
			data := read(t, path)
			for i := 100; i < 2048; i++ {
				data[i] = 0xa5
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, sqlite.ErrDamaged},
		{"newer", func(t *testing.T) string {
			path := madeFile(t, 1)
			change(t, path, "PRAGMA user_version = 1000")
			return path
		}, sqlite.ErrNewer},
		{"another program's", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "tasks.db")
			change(t, path, "CREATE TABLE notes(text TEXT)")
			return path
		}, sqlite.ErrForeign},
		{"folder", func(t *testing.T) string { return t.TempDir() }, nil},
		{"no folder", func(t *testing.T) string { return filepath.Join(t.TempDir(), "none", "tasks.db") }, os.ErrNotExist},
		{"memory", func(*testing.T) string { return ":memory:" }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := tc.make(t)
			before, _ := os.ReadFile(path)
			e, err := sqlite.Open(path, sqlite.Config{})
			if err == nil {
				e.Close()
				t.Fatal("the file was opened")
			}
			t.Log(err)
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("the error is not %v", tc.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestEngine_DamagedFile: damage that shows only in use is an error of what met it,
// ends Serve, and stops all writing.
func TestEngine_DamagedFile(t *testing.T) {
	path := madeFile(t, 300)
	id := uuid.MustParse(query[string](t, path, "SELECT id FROM task"))
	root := query[int](t, path, "SELECT rootpage FROM sqlite_schema WHERE name = 'tasks'")
	data := read(t, path)
	for i := (root - 1) * 2048; i < root*2048; i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, path)
	ctx := context.Background()
	if _, err := e.InsertOne(ctx, message("file.task")); !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("Insert: %v, want ErrDamaged", err)
	}
	if _, err := e.Get(ctx, id); !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("Get: %v, want ErrDamaged", err)
	}
	if err := e.Serve(ctx, &engine.Worker{ID: "w", Slots: 1, Queues: []string{"default"}}); !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("Serve: %v, want ErrDamaged", err)
	}
	if err := e.Close(); err != nil {
		t.Log("Close:", err)
	}
	if !bytes.Equal(data, read(t, path)) {
		t.Error("the file was changed")
	}
}

// TestInsert_FullDisk: when the disk is full, Insert is an error and stores nothing, and
// tasks that ran are recorded once there is room again. Meanwhile the log, which
// may be on that disk, is told once.
func TestInsert_FullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	var logged bytes.Buffer
	e := open(t, path, sqlite.Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	ctx := context.Background()
	if err := e.LimitPages(120); err != nil {
		t.Fatal(err)
	}
	var ids []uuid.UUID
	for {
		ms := make([]*engine.Message, 10)
		for i := range ms {
			ms[i] = message("file.task")
		}
		in, err := e.Insert(ctx, ms)
		if err != nil {
			if !errors.Is(err, sqlite.ErrFull) || !errors.Is(err, engine.ErrQueueFull) {
				t.Fatalf("Insert on a full disk: %v, want ErrFull", err)
			}
			t.Log(err)
			break
		}
		for _, i := range in {
			ids = append(ids, i.ID)
		}
	}
	if n := query[int](t, path, "SELECT count(*) FROM tasks"); n != len(ids) {
		t.Fatalf("%d tasks are stored, want the %d of complete batches", n, len(ids))
	}
	serveCtx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	runs := make(chan struct{}, 10*len(ids))
	go func() {
		served <- e.Serve(serveCtx, &engine.Worker{
			ID: "w", Slots: 5, Queues: []string{"default"}, Names: []string{"file.task"}, ParkFor: time.Hour,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				runs <- struct{}{}
				// A large result needs room that is not there.
				return engine.Outcome{Kind: engine.OutcomeSucceed, Result: bytes.Repeat([]byte("1"), 20_000)}
			},
		})
	}()
	<-runs
	time.Sleep(500 * time.Millisecond) // full for a while, so that it is tried a few times
	if err := e.LimitPages(0); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if entry, err := e.Wait(ctx, id); err != nil || entry.State != engine.StateSucceeded {
			t.Fatalf("%+v, %v", entry, err)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if len(runs)+1 != len(ids) {
		t.Errorf("%d runs of %d tasks", len(runs)+1, len(ids))
	}
	if s := query[string](t, path, "PRAGMA integrity_check"); s != "ok" {
		t.Errorf("integrity_check: %s", s)
	}
	if err := e.Close(); err != nil { // it waits for the log
		t.Fatal(err)
	}
	if n := strings.Count(logged.String(), "cannot record what became of tasks"); n != 1 {
		t.Errorf("the log was told %d times, want once:\n%s", n, &logged)
	}
}

// TestConfig_MaxSize: an engine of a bounded size says when it is full.
func TestConfig_MaxSize(t *testing.T) {
	e := open(t, filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{MaxSize: 200_000})
	for n := 0; ; n++ {
		_, err := e.InsertOne(context.Background(), message("file.task"))
		if err != nil {
			if !errors.Is(err, engine.ErrQueueFull) || n == 0 {
				t.Errorf("after %d tasks: %v, want ErrQueueFull", n, err)
			}
			return
		}
		if n == 10_000 {
			t.Fatal("10,000 tasks in 200,000 bytes")
		}
	}
}

// TestInsert_BusyFile: another process that holds the write lock for too long is an error,
// and one that lets it go is not.
func TestInsert_BusyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path, sqlite.Config{BusyTimeout: 100 * time.Millisecond})
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.InsertOne(context.Background(), message("file.task")); !errors.Is(err, sqlite.ErrBusy) {
		t.Errorf("Insert while another holds the lock: %v, want ErrBusy", err)
	} else {
		t.Log(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.InsertOne(context.Background(), message("file.task")); err != nil {
		t.Errorf("Insert afterwards: %v", err)
	}
}

// TestFile_View: the view shows tasks in words.
func TestFile_View(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	m := message("file.task")
	m.Meta.Tags = map[string]string{"plan": "pro"}
	m.Meta.EnqueuedAt = time.Date(2026, 2, 3, 4, 5, 6, 78_000_000, time.UTC)
	if _, err := e.InsertOne(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	if err := e.Cancel(context.Background(), m.Meta.ID, "not today"); err != nil {
		t.Fatal(err)
	}
	got := query[string](t, path, `SELECT id || ' ' || name || ' ' || queue || ' ' || state || ' ' || (args ->> 'n') || ' ' ||
		(tags ->> 'plan') || ' ' || reason || ' ' || enqueued_at || coalesce(started_at, '') FROM task`)
	want := m.Meta.ID.String() + " file.task default cancelled 1 pro not today " +
		m.Meta.EnqueuedAt.Format("2006-01-02T15:04:05.000Z")
	if got != want {
		t.Errorf("the view shows\n%s, want\n%s", got, want)
	}
}

// TestFile_Command reads and writes the file with the sqlite3 command, whose version
// is whatever the machine has, as the package document shows it.
func TestFile_Command(t *testing.T) {
	command := servertest.Command(t, "sqlite3")
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path) // it is open meanwhile
	m := message("billing.ChargeCard")
	m.Meta.Tags = map[string]string{"plan": "pro"}
	late := message("billing.Late")
	late.Due = time.Now().Add(time.Hour)
	if _, err := e.Insert(context.Background(), []*engine.Message{m, late}); err != nil {
		t.Fatal(err)
	}
	run := func(text string) string {
		t.Helper()
		out, err := exec.Command(command, path, text).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", text, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(`INSERT INTO tasks(name, args) VALUES ('billing.Remind', '{"customer":"c-42"}')`)
	got := run(`SELECT name, state, attempt, coalesce(reason, '-'), coalesce(json_extract(tags, '$.plan'), '-'),
		abs(julianday(due) - julianday('now')) < 0.1 FROM task`)
	want := "billing.ChargeCard|pending|0|-|pro|1\nbilling.Late|scheduled|0|-|-|1\nbilling.Remind|pending|0|-|-|1"
	if got != want {
		t.Errorf("%s shows\n%s\nwant\n%s", run("SELECT sqlite_version()"), got, want)
	}
	entries, _, err := e.List(context.Background(), engine.Query{Name: "billing.Remind"})
	if err != nil || len(entries) != 1 || time.Since(entries[0].Due).Abs() > time.Minute {
		t.Errorf("the task made by hand: %v, %v", entries, err)
	}
}

// TestFile_TasksByHand: a task inserted with the sqlite3 command is one of a foreign
// producer.
func TestFile_TasksByHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	got := make(chan *engine.Message, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "w", Slots: 1, Queues: []string{"default"}, Names: []string{"file.task"}, ParkFor: time.Hour,
			Run: func(_ context.Context, d *engine.Delivery) engine.Outcome {
				got <- d.Message
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	change(t, path, `INSERT INTO tasks(name, args) VALUES ('file.task', '{"n":2}')`)
	m := <-got
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if m.Meta.Version != 0 || m.Queue != "default" || string(m.Args) != `{"n":2}` || m.Meta.ID == uuid.Nil {
		t.Errorf("the message is %+v", m)
	}
	if s := query[string](t, path, `SELECT state FROM task`); s != "succeeded" {
		t.Errorf("the task is %s", s)
	}
}
