//go:build unix

package sqlite_test

import (
	"fmt"
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

// TestEngine holds the engine to the contract.
func TestEngine(t *testing.T) {
	var mu sync.Mutex
	files := make(map[engine.Engine]string)
	cfg := sqlite.Config{Lease: suiteLease, PollInterval: 5 * time.Millisecond}
	enginetest.Run(t, func(t testing.TB) engine.Engine {
		path := filepath.Join(t.TempDir(), "tasks.db")
		e := open(t, path, cfg)
		mu.Lock()
		defer mu.Unlock()
		files[e] = path
		return e
	}, enginetest.Options{
		Lease: 7 * suiteLease / 5,
		Second: func(t testing.TB, first engine.Engine) engine.Engine {
			mu.Lock()
			defer mu.Unlock()
			return open(t, files[first], cfg)
		},
		Remove: func(t testing.TB, e engine.Engine, id uuid.UUID) {
			mu.Lock()
			defer mu.Unlock()
			change(t, files[e], fmt.Sprintf("DELETE FROM tasks WHERE id = x'%x'", id[:]))
		},
		Pause: func(_ testing.TB, e engine.Engine) func() { return e.(*sqlite.Engine).Suspend() },
	})
}
