//go:build unix

package sqlite_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/enginetest"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(workerFile); path != "" {
		workerMain(path)
		return
	}
	if path := os.Getenv(envEffects); path != "" {
		effectsMain(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// testLease is short, so that tests of lost workers are.
const testLease = 400 * time.Millisecond

// open opens an engine on a file for the time of the test.
func open(t testing.TB, path string, cfg ...sqlite.Config) *sqlite.Engine {
	t.Helper()
	e, err := sqlite.Open(path, append(cfg, sqlite.Config{})[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// suiteLease is the lease of the suite's workers: short for the tests of lost
// ones, and long enough that a busy machine loses none in the others.
const suiteLease = time.Second

// TestEngine holds the engine to the contract, in a file of its own.
func TestEngine(t *testing.T) { testEngine(t, sqlite.Config{}) }

func testEngine(t *testing.T, cfg sqlite.Config) {
	t.Parallel()
	var mu sync.Mutex
	files := make(map[engine.Engine]string)
	cfg.Lease, cfg.PollInterval = suiteLease, 5*time.Millisecond
	file := func(e engine.Engine) string {
		mu.Lock()
		defer mu.Unlock()
		return files[e]
	}
	enginetest.Run(t, func(t testing.TB) engine.Engine {
		path := filepath.Join(t.TempDir(), "tasks.db")
		if cfg.Beside {
			ownTables(t, path)
		}
		e := open(t, path, cfg)
		mu.Lock()
		defer mu.Unlock()
		files[e] = path
		return e
	}, enginetest.Options{
		Lease: 7 * suiteLease / 5,
		Logged: func(t testing.TB, l *slog.Logger) engine.Engine {
			cfg := cfg
			cfg.Logger = l
			path := filepath.Join(t.TempDir(), "tasks.db")
			if cfg.Beside {
				ownTables(t, path)
			}
			return open(t, path, cfg)
		},
		Second: func(t testing.TB, first engine.Engine) engine.Engine {
			return open(t, file(first), cfg)
		},
		Remove: func(t testing.TB, e engine.Engine, id uuid.UUID) {
			table := "tasks"
			if cfg.Beside {
				table = "taskctx_tasks"
			}
			change(t, file(e), fmt.Sprintf("DELETE FROM %s WHERE id = x'%x'", table, id[:]))
		},
		Pause: func(_ testing.TB, e engine.Engine) func() { return e.(*sqlite.Engine).Suspend() },
		Begin: func(t testing.TB, e engine.Engine) enginetest.Transaction { return begin(t, file(e)) },
		Foreign: map[string]func(t testing.TB) enginetest.Transaction{
			"another file": func(t testing.TB) enginetest.Transaction {
				return begin(t, filepath.Join(t.TempDir(), "other.db"))
			},
			"no file": func(t testing.TB) enginetest.Transaction { return begin(t, ":memory:") },
		},
	})
}
