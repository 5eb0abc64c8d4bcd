// Package bulk does the same with all tasks that a query selects: for the
// dashboard and for the command, which say how many there are before they do.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Action is what is done.
type Action string

// The actions.
const (
	Retry  Action = "retry"
	Run    Action = "run" // now, before its time
	Cancel Action = "cancel"
	Delete Action = "delete"
)

const (
	// countPage is how many tasks are read at once to be counted, page how many to
	// be acted on, atOnce how many of those at a time.
	countPage, page, atOnce = 1000, 200, 8
	// maxErrors is how many errors a Result tells.
	maxErrors = 10
	// Sampled is how many tasks a Survey shows.
	Sampled = 5
)

// Possible reports whether the action is possible for a task in a state.
func (a Action) Possible(s engine.State) bool {
	switch a {
	case Retry:
		return s == engine.StateFailed || s == engine.StateCancelled
	case Run:
		return s == engine.StateScheduled || s == engine.StateRetrying
	case Cancel:
		return !s.Final()
	default:
		return s != engine.StateRunning
	}
}

// Narrow returns the query for those of its tasks that the action is possible for,
// false if there can be none.
func (a Action) Narrow(q engine.Query) (engine.Query, bool) {
	all := q.States
	if len(all) == 0 {
		all = engine.States()
	}
	q.States = slices.DeleteFunc(slices.Clone(all), func(s engine.State) bool { return !a.Possible(s) })
	return q, len(q.States) > 0
}

// Do acts on one task. reason is that of a cancellation.
func (a Action) Do(ctx context.Context, app *runtime.App, id uuid.UUID, reason string) error {
	switch a {
	case Retry:
		return app.Retry(ctx, id)
	case Run:
		return app.RunNow(ctx, id)
	case Cancel:
		return app.Cancel(ctx, id, reason)
	case Delete:
		return app.Delete(ctx, id)
	}
	return fmt.Errorf("there is no action %q", string(a))
}

// Group are tasks of one name in one state.
type Group struct {
	Name  string
	State engine.State
}

// Survey is how many tasks a query selects.
type Survey struct {
	Tasks int
	// More says that there are more.
	More   bool
	Groups map[Group]int
	Sample []*runtime.Record // in brief
}

// Add counts a task.
func (s *Survey) Add(r *runtime.Record) {
	if s.Groups == nil {
		s.Groups = make(map[Group]int)
	}
	s.Tasks++
	s.Groups[Group{r.Name, r.State}]++
	if len(s.Sample) < Sampled {
		s.Sample = append(s.Sample, r)
	}
}

// Count counts the tasks of a query, up to most of them, and for no longer than
// within; 0 is without bounds.
func Count(ctx context.Context, app *runtime.App, q engine.Query, most int, within time.Duration) (Survey, error) {
	began := time.Now()
	return CountWhile(ctx, app, q, func(tasks int) bool {
		return (most == 0 || tasks < most) && (within == 0 || time.Since(began) <= within)
	})
}

// CountWhile counts the tasks of a query, for as long as more says so of how many
// there are.
func CountWhile(ctx context.Context, app *runtime.App, q engine.Query, more func(tasks int) bool) (Survey, error) {
	var s Survey
	q.Brief, q.Limit = true, countPage
	for {
		records, next, err := app.List(ctx, q)
		if err != nil {
			return s, err
		}
		for _, r := range records {
			s.Add(r)
		}
		if next == "" {
			return s, nil
		}
		if !more(s.Tasks) {
			s.More = true
			return s, nil
		}
		q.Cursor = next
	}
}

// Result is what became of an action on many tasks.
type Result struct {
	Done, Failed int
	Errors       []TaskError // of the first that failed
	// Next is the cursor to go on with, empty when all was done.
	Next string
}

// TaskError is why something could not be done with a task.
type TaskError struct {
	ID  uuid.UUID
	Err error
}

// Options bound an action.
type Options struct {
	// Limit is at most how many tasks are acted on, 0 is all.
	Limit int
	// Within is how long to go on; 0 is until all is done.
	Within time.Duration
	// Reason is that of a cancellation.
	Reason string
	// Progress, if not nil, is called now and then with what was done so far.
	Progress func(Result)
}

// Act acts on the tasks of a query, which the action must be possible for; see
// Narrow. Its error is the store's; the result is then what was done before.
func Act(ctx context.Context, app *runtime.App, a Action, q engine.Query, o Options) (Result, error) {
	var r Result
	began := time.Now()
	q.Brief = true
	for {
		q.Limit = page
		if o.Limit > 0 {
			q.Limit = min(page, o.Limit-r.Done-r.Failed)
		}
		records, next, err := app.List(ctx, q)
		if err != nil {
			r.Next = q.Cursor
			return r, err
		}
		ids := make([]uuid.UUID, len(records))
		for i, rec := range records {
			ids[i] = rec.ID
		}
		if err := Each(ctx, app, a, ids, o.Reason, &r); err != nil {
			r.Next = q.Cursor
			return r, err
		}
		if o.Progress != nil {
			o.Progress(r)
		}
		q.Cursor = next
		switch {
		case next == "", o.Limit > 0 && r.Done+r.Failed >= o.Limit:
			return r, nil
		case o.Within > 0 && time.Since(began) > o.Within:
			r.Next = next
			return r, nil
		}
	}
}

// Each acts on the tasks named, several at a time, and adds up what became of it.
// Its error is the store's: then some were not tried.
func Each(ctx context.Context, app *runtime.App, a Action, ids []uuid.UUID, reason string, r *Result) error {
	var mu sync.Mutex // guards r and broken
	var broken error
	var wg sync.WaitGroup
	work := make(chan uuid.UUID)
	for range min(atOnce, len(ids)) {
		wg.Go(func() {
			for id := range work {
				err := a.Do(ctx, app, id, reason)
				mu.Lock()
				switch {
				case err == nil:
					r.Done++
				case !ofTheTask(err):
					broken = err
				default:
					r.Failed++
					if len(r.Errors) < maxErrors {
						r.Errors = append(r.Errors, TaskError{id, err})
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		mu.Lock()
		stop := broken != nil
		mu.Unlock()
		if stop {
			break
		}
		work <- id
	}
	close(work)
	wg.Wait()
	return broken
}

// ofTheTask reports whether an error is about one task, and not about the store.
func ofTheTask(err error) bool {
	for _, e := range []error{
		engine.ErrNotFound, engine.ErrState, engine.ErrRunning, engine.ErrQueueFull, engine.ErrUnsupported,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
