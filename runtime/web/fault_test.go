package web_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
)

func itoa(n int) string { return strconv.Itoa(n) }

// failing is an engine that can be down for those who look at tasks.
type failing struct {
	engine.Engine
	down atomic.Bool
}

var errDown = errors.New("connection refused")

func (e *failing) Unwrap() engine.Engine { return e.Engine }

func (e *failing) Get(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	if e.down.Load() {
		return nil, errDown
	}
	return e.Engine.Get(ctx, id)
}

func (e *failing) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	if e.down.Load() {
		return nil, "", errDown
	}
	return e.Engine.List(ctx, q)
}

// Counts makes it a Counter of its own.
func (e *failing) Counts(ctx context.Context) ([]engine.Count, error) {
	if e.down.Load() {
		return nil, errDown
	}
	return e.Engine.(engine.Counter).Counts(ctx)
}

// listen returns the names of the events of a stream, until the test ends.
func listen(t *testing.T, s *site, path string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", s.base+path, nil)
	require.NoError(t, err)
	w, err := s.Do(r) //nolint:bodyclose // the cleanup closes it
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", w.Header.Get("Content-Type"))
	events, done := make(chan string, 16), make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		for lines := bufio.NewScanner(w.Body); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				events <- name
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		require.NoError(t, w.Body.Close())
	})
	return events
}

// TestHealth: it is the store's, whatever pages have read before.
func TestHealth(t *testing.T) {
	e := &failing{Engine: memory.New(memory.Config{})}
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	s := serve(t, runtime.New(e, runtime.Config{Logger: silent}), web.Config{})
	require.Equal(t, http.StatusOK, s.get("").StatusCode)
	assert.True(t, read[struct{ OK bool }](t, s.get("api/health")).OK)
	e.down.Store(true)
	assert.Equal(t, http.StatusServiceUnavailable, s.get("api/health").StatusCode)
	e.down.Store(false)
	assert.Equal(t, http.StatusOK, s.get("api/health").StatusCode)
}

// unread is an engine whose journals cannot be read.
type unread struct {
	engine.Engine
	engine.Journaler
}

func (unread) Journal(context.Context, uuid.UUID) ([]engine.JournalEntry, error) { return nil, errDown }

// TestTaskPage_OfAJournalThatCannotBeRead: it is an error, and not a page without one.
func TestTaskPage_OfAJournalThatCannotBeRead(t *testing.T) {
	own := memory.New(memory.Config{})
	e := &unread{own, own}
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	id := uuid.Must(uuid.NewV7())
	_, err := e.Insert(t.Context(), []*engine.Message{{
		Name: "mail.Send", Queue: "mail", Args: []byte(`{}`), Meta: engine.Meta{Version: engine.WirePlain, ID: id},
	}})
	require.NoError(t, err)
	s := serve(t, runtime.New(e, runtime.Config{Logger: silent}), web.Config{})
	assert.Equal(t, http.StatusServiceUnavailable, s.get("tasks/"+id.String()).StatusCode)
}
