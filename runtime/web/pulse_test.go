package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
)

// held is an engine that, when armed, reads what is paused and then does as hold says.
type held struct {
	*memory.Engine
	armed atomic.Bool
	hold  func()
}

func (e *held) Paused(ctx context.Context) ([]engine.Pause, error) {
	paused, err := e.Engine.Paused(ctx)
	if e.armed.CompareAndSwap(true, false) {
		e.hold()
	}
	return paused, err
}

// TestPages_AfterAnActionAreReadAnew: also if others were being read while it was done.
func TestPages_AfterAnActionAreReadAnew(t *testing.T) {
	reading, goOn, first := make(chan struct{}), make(chan struct{}), make(chan answer)
	e := &held{Engine: memory.New(memory.Config{}), hold: func() { close(reading); <-goOn }}
	s := serve(t, shopOn(t, e).App, web.Config{Allow: allowAll})
	e.armed.Store(true)
	go func() { first <- s.get("queues") }()
	<-reading
	require.Equal(t, http.StatusOK, s.post("api/pause", `{"queue":"mail"}`).StatusCode)
	close(goOn)
	<-first
	assert.True(t, strings.Contains(s.get("queues").text, "Resume the queue mail"), "the page shows that the queue is paused")
}

// TestPages_AfterAPanicOfTheEngine: a page that broke while it read for others leaves
// none of them waiting.
func TestPages_AfterAPanicOfTheEngine(t *testing.T) {
	e := &held{Engine: memory.New(memory.Config{}), hold: func() { panic("spoilt") }}
	h := web.Handler(shopOn(t, e).App, web.Config{Logger: silent})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e.armed.Store(true)
	w := httptest.NewRecorder()
	assert.Panics(t, func() { h.ServeHTTP(w, request(ctx, "/queues", "")) })
	h.ServeHTTP(w, request(ctx, "/queues", ""))
	assert.Equal(t, http.StatusOK, w.Code)
}
