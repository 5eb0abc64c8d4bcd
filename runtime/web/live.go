package web

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

const (
	// streamLife is how long a stream of events lasts: then the browser asks
	// again, and whether it may is decided anew. A server that shuts down waits
	// no longer for it.
	streamLife = 30 * time.Second
	// quiet is how long a stream says nothing at most, so that proxies keep it.
	quiet = 10 * time.Second
	// firstLook is within which time a stream looks for the first time.
	firstLook = 500 * time.Millisecond
	// writeTimeout bounds the time that a client takes to read an event.
	writeTimeout = 10 * time.Second
)

// eventsIn asks for a stream of changes: of one task, or of everything.
type eventsIn struct {
	Task string `query:"task" doc:"id of a task: only its changes"`
	From string `query:"from" doc:"the id of an event, of which the client knows what it tells"`
}

// events is a stream of server-sent events: "change" when there is something
// new. What it is, a client reads for itself.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	q := requestOf(r)
	q.json = true
	in := new(eventsIn)
	_, err := q.run(View, func() (any, error) { return nil, q.decode(in) })
	var id uuid.UUID
	if err == nil && in.Task != "" {
		if id, err = uuid.Parse(in.Task); err != nil {
			err = badRequest("%q is not the id of a task", clean(in.Task, maxName))
		}
	}
	if err != nil {
		q.fail(err)
		return
	}
	defer h.pulse.open()()
	ctx, cancel := context.WithTimeout(q.Context(), streamLife)
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	s := &stream{h: h, w: w, rc: http.NewResponseController(w), id: id}
	from := in.From
	if again := r.Header.Get("Last-Event-ID"); again != "" {
		from = again
	}
	if s.last, err = strconv.ParseUint(from, 36, 64); err != nil {
		s.last, _ = s.version(ctx) // a store that is down has none
	}
	s.serve(ctx)
}

// stream is one stream of events.
type stream struct {
	h    *handler
	w    http.ResponseWriter
	rc   *http.ResponseController
	id   uuid.UUID // of the task, nil for everything
	last uint64    // the version that the client knows
	said time.Time
}

func (s *stream) serve(ctx context.Context) {
	// Some proxies hand on nothing before they have 2 kB.
	err := s.send("retry: 2000\n: " + strings.Repeat(" ", 2048) + "\n" + s.event("hello"))
	if errors.Is(err, http.ErrNotSupported) { // by something around it: then it is asked again and again
		if v, err := s.version(ctx); err == nil && v != s.last {
			s.last = v
			_, _ = fmt.Fprint(s.w, s.event("change")) // the client is gone
		}
		return
	}
	if err != nil {
		return
	}
	for first := true; ; first = false {
		d := s.h.pulse.interval()
		if d += rand.N(d / 4); first { // not all at once
			d = rand.N(firstLook)
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return
		}
		v, err := s.version(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			v = 0 // the page says so, if it is read again
		}
		switch now := time.Now(); {
		case v != s.last && s.h.pulse.mayTurn(now):
			s.last = v
			err = s.send(s.event("change"))
		case now.Sub(s.said) > quiet:
			err = s.send(": quiet\n\n")
		default:
			err = nil
		}
		if err != nil {
			return
		}
	}
}

// event is an event that tells the client the version that it knows from now on.
func (s *stream) event(name string) string {
	return "id: " + strconv.FormatUint(s.last, 36) + "\nevent: " + name + "\ndata: {}\n\n"
}

func (s *stream) send(text string) error {
	s.said = time.Now()
	_ = s.rc.SetWriteDeadline(s.said.Add(writeTimeout)) // not every server can
	if _, err := fmt.Fprint(s.w, text); err != nil {
		return err
	}
	return s.rc.Flush()
}

// version returns a number that changes when a page would show something else.
func (s *stream) version(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if s.id == uuid.Nil {
		snap, err := s.h.snapshot(ctx)
		if err != nil {
			return 0, err
		}
		return snap.version, nil
	}
	r, err := s.h.app.Lookup(ctx, s.id)
	if err != nil {
		return 0, err
	}
	return versionOf(r), nil
}

// versionOf hashes the fields of a record that its page shows.
func versionOf(r *runtime.Record) uint64 {
	sum := fnv.New64a()
	fmt.Fprint(sum, r.State, r.Attempt, r.Due, r.StartedAt, r.EndedAt, r.Reason, len(r.Errors), len(r.Logs), r.LogsDropped)
	if n := len(r.Logs); n > 0 {
		fmt.Fprint(sum, r.Logs[n-1].Time)
	}
	if p := r.Progress; p != nil {
		fmt.Fprint(sum, p.Done, p.Total, p.Note)
	}
	return max(sum.Sum64(), 1)
}

// taskEvents returns the URL of a task's events after the given record.
func taskEvents(r *runtime.Record) string {
	return "events?" + urlQuery("task", r.ID.String(), "from", strconv.FormatUint(versionOf(r), 36))
}

// allEvents returns the URL of all events after the last snapshot.
func (h *handler) allEvents() string {
	s := h.peek()
	if s == nil {
		return "events"
	}
	return "events?" + urlQuery("from", strconv.FormatUint(s.version, 36))
}
