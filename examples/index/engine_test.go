package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engines"
)

// The processes of the tests, which are this binary, open every engine.
func init() { openEngine = engines.Open }

// engineURLs are how each engine is named, for a test of its own.
var engineURLs = map[string]func(t *testing.T) string{
	"memory":   func(*testing.T) string { return memoryURL },
	"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "tasks.db") },
	"postgres": newDatabase,
	"redis": func(t *testing.T) string {
		url, _ := servertest.Redis(t)
		return url
	},
}

// newDatabase makes a database on the server, so that no test meets the tasks
// that the killed processes of another left behind.
func newDatabase(t *testing.T) string {
	server := servertest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	name := "index_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// eachEngine runs the test for every engine that the program can open.
func eachEngine(t *testing.T, test func(t *testing.T, url string)) {
	for _, s := range engines.Schemes() {
		url, ok := engineURLs[s.Name]
		if !ok {
			t.Errorf("no test has a URL for the engine %s", s.Name)
			continue
		}
		t.Run(s.Name, func(t *testing.T) { test(t, url(t)) })
	}
}

// start starts the command in a process of its own.
func start(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestIndex_KilledOnEveryEngine kills the process half-way. A second run makes the
// index that a run without a kill makes. Its tasks are what taskgen wrote, with a
// context type of their own, on every engine the same.
//
// Proves: FEATURES 71
func TestIndex_KilledOnEveryEngine(t *testing.T) {
	const files = 300
	dir := tree(t, files)
	whole := filepath.Join(t.TempDir(), "whole.db")
	if _, err := run(t, "-db", whole, dir); err != nil {
		t.Fatal(err)
	}
	want := content(t, whole)
	eachEngine(t, func(t *testing.T, url string) {
		db := filepath.Join(t.TempDir(), "index.db")
		d := openTest(t, db)
		defer d.Close()
		cmd, out := start(t, "-engine", url, "-db", db, "-workers", "2", dir)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		n := 0
		for tick := time.NewTicker(2 * time.Millisecond); n < files/4; <-tick.C {
			if err := d.QueryRow(`SELECT count(*) FROM files`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				t.Fatalf("the command ended with %v:\n%s", err, out)
			default:
			}
		}
		_ = cmd.Process.Kill()
		<-ended
		t.Logf("killed when it had indexed %d files", n)
		if _, err := run(t, "-engine", url, "-db", db, "-workers", "2", dir); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, content(t, db)); d != "" {
			t.Errorf("the index differs from that of one run:\n%s", d)
		}
	})
}

// TestOpenEngine_Local: the program links the engines that need no server, and says how
// to link the others without a word of their URL.
func TestOpenEngine_Local(t *testing.T) {
	for _, url := range []string{memoryURL, "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")} {
		e, err := openLocal(t.Context(), url)
		require.NoError(t, err, url)
		require.NoError(t, e.Close())
	}
	_, err := openLocal(t.Context(), "postgres://user:secret@host/db")
	require.ErrorContains(t, err, "-tags servers")
	assert.NotContains(t, err.Error(), "secret")
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	for _, server := range []string{"/runtime/postgres\n", "/runtime/redis\n"} {
		assert.NotContains(t, string(out), server)
	}
}

// TestWork_Processes leaves all the work to two other processes.
func TestWork_Processes(t *testing.T) {
	dir := tree(t, 100)
	eachEngine(t, func(t *testing.T, url string) {
		if url == memoryURL {
			if _, err := run(t, "worker"); err == nil {
				t.Error("a worker began without an engine to share")
			}
			if _, err := run(t, "-workers", "0", dir); err == nil {
				t.Error("a run began that nobody could work on")
			}
			return
		}
		db := filepath.Join(t.TempDir(), "index.db")
		// A run whose workers are gone would wait for ever.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var cmds []*exec.Cmd
		var outs []*bytes.Buffer
		ended := make(chan error, 2)
		for range 2 {
			cmd, out := start(t, "worker", "-engine", url, "-db", db, "-workers", "2")
			cmds, outs = append(cmds, cmd), append(outs, out)
			go func() {
				ended <- cmd.Wait()
				cancel()
			}()
		}
		var out bytes.Buffer
		err := command(ctx, []string{"-engine", url, "-db", db, "-workers", "0", "-v", dir}, &out, t.Output())
		for _, cmd := range cmds {
			_ = cmd.Process.Signal(os.Interrupt)
		}
		for range cmds {
			if err := <-ended; err != nil {
				t.Errorf("a worker ended with %v", err)
			}
		}
		if err != nil {
			t.Fatalf("%v\n%s%s", err, outs[0], outs[1])
		}
		summary := out.String()
		for _, line := range []string{"indexed  101\n", "failed   3\n", "not UTF-8 text\n"} {
			if !strings.Contains(summary, line) {
				t.Errorf("the summary lacks %q:\n%s", line, summary)
			}
		}
		indexed, failed := 0, 0
		for i := range cmds {
			var n, bad int
			_, _ = fmt.Sscanf(after(outs[i].String(), "\nindexed  "), "%d", &n)
			_, _ = fmt.Sscanf(after(outs[i].String(), "\nfailed  "), "%d", &bad)
			indexed, failed = indexed+n, failed+bad
		}
		if indexed != 101 || failed != 2 { // the third failed without a task
			t.Errorf("the workers say that they indexed %d and failed on %d:\n%s%s", indexed, failed, outs[0], outs[1])
		}
		if got := len(content(t, db)); got != 101 {
			t.Errorf("%d files are in the index", got)
		}
	})
}
