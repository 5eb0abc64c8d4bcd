package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// A statement for many rows fails as a whole because of one that the server
// refuses to change: by a trigger of somebody's, a constraint, a damaged page.
// Then it is done for fewer rows, and again, until that row is found. The row
// is logged and set aside: statements pass it over, for longer each time.

const (
	// firstAside and lastAside are how long a job is set aside.
	firstAside = 10 * time.Second
	lastAside  = 10 * time.Minute
	// asideLines is how many rows the log names in a minute, one by one.
	asideLines = 20
	// mostAside is how many jobs are set aside at most: each statement carries
	// them all.
	mostAside = 1000
	// fewerEach is by how much a lot shrinks after a failure.
	fewerEach = 4
)

// aside is the jobs that the server refused to change. Its zero value is ready.
type aside struct {
	mu      sync.Mutex // guards all below
	jobs    map[int64]setAside
	told    int       // lines of the log, since lastAt
	further int       // jobs that were set aside without a line, since then
	lastAt  time.Time // when the lines began to be counted
}

type setAside struct {
	until time.Time
	next  time.Duration // for how long, when it fails again
}

// ids returns the jobs to pass over now; it is not nil, which would be NULL.
func (a *aside) ids() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]int64, 0, len(a.jobs))
	now := time.Now()
	for id, s := range a.jobs {
		switch {
		case now.Before(s.until):
			ids = append(ids, id)
		case now.Sub(s.until) > lastAside: // long since all is well with it
			delete(a.jobs, id)
		}
	}
	return ids
}

// has reports whether the job is passed over now.
func (a *aside) has(id int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.jobs[id].until)
}

// add sets a job aside. It reports whether to log that, and how many others
// were not logged before.
func (a *aside) add(id int64) (tell bool, further int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.lastAt) >= time.Minute {
		a.told, a.lastAt = 0, now
	}
	if tell = a.told < asideLines; tell {
		a.told++
		a.further, further = 0, a.further
	} else {
		a.further++
	}
	s, known := a.jobs[id]
	if !known && len(a.jobs) >= mostAside {
		return tell, further
	}
	if a.jobs == nil {
		a.jobs = make(map[int64]setAside)
	}
	d := max(s.next, firstAside)
	a.jobs[id] = setAside{until: time.Now().Add(d), next: min(4*d, lastAside)}
	return tell, further
}

// ofOneRow reports that the server's error may be due to one row of many.
func ofOneRow(err error) bool {
	if badData(err) {
		return true
	}
	code := sqlState(err)
	// Errors raised by triggers and functions, a view's check, damaged data.
	return slices.ContainsFunc([]string{"09", "2F", "38", "39", "44", "P0", "XX"}, func(class string) bool {
		return strings.HasPrefix(code, class)
	})
}

// refused is a row that the server refused to change.
type refused[T any] struct {
	row T
	err error
}

// halved calls do for rows, lot by lot; where a lot fails because of one of
// its rows, it calls do for each half. It returns the rows for which do
// failed. If a lot fails for another reason, it returns that error, and leaves
// out the lot and all after it.
func halved[T any](todo [][]T, do func(some []T) error) (failed []refused[T], err error) {
	for len(todo) > 0 {
		some := todo[0]
		err := do(some)
		switch {
		case err == nil:
			todo = todo[1:]
		case !ofOneRow(err):
			return failed, err
		case len(some) <= 1:
			todo = todo[1:]
			for _, row := range some {
				failed = append(failed, refused[T]{row, err})
			}
		default:
			half := len(some) / 2
			todo = append([][]T{some[:half], some[half:]}, todo[1:]...)
		}
	}
	return failed, nil
}

// lots is a statement for some rows at a time. One goroutine uses it.
type lots struct {
	doing string // for the log
	sql   lotSQL
	most  int // rows at a time
	size  int // now; 0 is most
}

// do runs the statement for some rows, and reports whether there may be more.
// run gets the greatest number of rows and the jobs to pass over, and returns
// how many rows there were. args are the first parameters, before those two.
func (s *serve) do(ctx context.Context, l *lots, args []any, run func(limit int, pass []int64) (int, error)) (more bool, err error) {
	size, pass := l.size, s.aside.ids()
	if size == 0 || size > l.most {
		size = l.most
	}
	var first int64
	if size == 1 && l.most > 1 {
		if first, err = s.first(ctx, l, args, pass); err != nil || first == 0 {
			l.size = 0
			return false, err
		}
	}
	n, err := run(size, pass)
	switch {
	case err == nil:
		l.size = min(2*size, l.most)
		return n >= size, nil
	case errors.Is(err, errSilent):
		l.size = max(size/fewerEach, 1)
		return false, fmt.Errorf("%s: %w", l.doing, err)
	case !ofOneRow(err):
		return false, fmt.Errorf("%s: %w", l.doing, err)
	case size > 1:
		l.size = max(size/fewerEach, 1)
		return true, nil
	}
	// It is this one, unless another worker has changed the first row
	// meanwhile.
	id, ferr := s.first(ctx, l, args, pass)
	switch {
	case ferr != nil:
		return false, ferr
	case id != 0 && (first == 0 || id == first):
		s.setAside(ctx, id, l.doing, err)
	}
	return true, nil
}

// first returns the first job for the statement, 0 if there is none.
func (s *serve) first(ctx context.Context, l *lots, args []any, pass []int64) (id int64, err error) {
	err = s.e.steered(ctx, l.sql.first, append(slices.Clone(args), pass, 1), func(scan func(...any) error) error { return scan(&id) })
	if err != nil {
		return 0, fmt.Errorf("%s: find the job that cannot be changed: %w", l.doing, err)
	}
	return id, nil
}

// setAside passes a job over from now on, and gives the reason: in the log,
// and with the job if the server takes that.
func (s *serve) setAside(ctx context.Context, id int64, doing string, err error) {
	tell, further := s.aside.add(id)
	if !tell {
		return
	}
	_, _ = s.e.exec(ctx, s.e.sql.note, id, clean("the server refuses to change it: "+err.Error()))
	s.Log(slog.LevelWarn, doing+": the server refuses to change a job, which is left alone for a time",
		slog.Int64("job", id), slog.String("task_id", s.e.taskID(id).String()), slog.String("error", err.Error()),
		slog.Int("others", further))
}
