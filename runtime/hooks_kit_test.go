package runtime_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	goruntime "runtime"
	"sync"
	"testing"

	"github.com/taskctx/taskctx/runtime/memory"
)

// silent is a logger for tests that provoke errors.
var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func goexit() { goruntime.Goexit() }

// noMemo is a memo that keeps nothing of what is saved.
type noMemo string

func (m noMemo) LoadMemo(context.Context) (json.RawMessage, error) { return json.RawMessage(m), nil }

func (m noMemo) SaveMemo(context.Context, json.RawMessage) error { return nil }

// safeBuffer is a writer for many goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = append(b.b, p...)
	return len(p), nil
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.b)
}

// newMemory returns a memory engine that is closed when the test ends.
func newMemory(t testing.TB, cfg ...memory.Config) *memory.Engine {
	t.Helper()
	e := memory.New(append(cfg, memory.Config{})[0])
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func textLogger(b *safeBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
