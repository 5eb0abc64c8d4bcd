package servertest

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Slow leaves a test out of a short run.
func Slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds: not in a short run")
	}
}

// Log returns a logger that shows an engine's lines on its test, with -v only.
func Log(tb testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(tb.Output(), nil))
}

// Lines collects log lines from several goroutines.
type Lines struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

// Write implements [io.Writer].
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Count returns how many times the lines have the text.
func (l *Lines) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}
