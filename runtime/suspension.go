package runtime

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// suspension is what later runs of a durable task know of one that was suspended.
type suspension struct {
	At time.Time `json:"at"`
	// Headers are what the propagators injected then.
	Headers map[string]string `json:"headers,omitempty"`
}

// Suspended reports whether err, from a task or a layer of middleware, says that
// the run is suspended: it is, or wraps, [ErrSuspended], and is not joined with
// the failure of another branch.
func Suspended(err error) bool {
	return guard.Is(err, ErrSuspended) && !endsRun(err) && !failedBeside(err)
}

// Resumes returns what the propagators injected in the run of this durable task
// that was suspended last: to link to it. It is false in the first run, and in
// apps without propagators.
func (c *Context) Resumes() (headers map[string]string, ok bool) {
	r := c.runOrNil()
	if r == nil {
		return nil, false
	}
	s := r.suspension()
	if s == nil || len(s.Headers) == 0 {
		return nil, false
	}
	return maps.Clone(s.Headers), true
}

// Waits returns what the run of a durable task waits for: a text for people for
// each of its branches that waits, such as "signal approved". It is empty before
// the run waits.
func (c *Context) Waits() []string {
	r := c.runOrNil()
	if r == nil {
		return nil
	}
	d := r.whole().remembered()
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.waits)
}

// notesSuspensions reports whether somebody of the app's asks for suspensions.
// Only then they are noted.
func (a *App) notesSuspensions() bool { return a.watched() || len(a.cfg.Propagators) > 0 }

// suspension returns the note of the last run that was suspended, or nil.
func (r *run) suspension() *suspension {
	r = r.whole()
	if !r.reg.def.Durable || !r.app.notesSuspensions() {
		return nil
	}
	l := r.lasts()
	l.lookOnce.Do(func() {
		x := r.more()
		x.reading.Lock()
		defer x.reading.Unlock()
		l.last = r.loadMemo(x).Suspended
	})
	return l.last
}

// noteSuspension notes in the memo that this run is suspended.
func (r *run) noteSuspension(headers map[string]string) {
	x := r.more()
	x.reading.Lock()
	defer x.reading.Unlock()
	r.loadMemo(x).Suspended = &suspension{At: time.Now().UTC(), Headers: headers}
	r.flags.memoChanged = true
}

// headersOf returns what the propagators inject: nil if that is nothing, or cannot
// be kept.
func (a *App) headersOf(ctx context.Context) map[string]string {
	if len(a.cfg.Propagators) == 0 {
		return nil
	}
	headers := make(map[string]string)
	err := guard.Isolated(func() error {
		for _, p := range a.cfg.Propagators {
			p.Inject(ctx, headers)
		}
		for k, v := range headers {
			if !storable(k) || !storable(v) {
				return errors.New("a header cannot be stored")
			}
		}
		return nil
	})
	if err != nil || len(headers) == 0 {
		return nil
	}
	return headers
}
