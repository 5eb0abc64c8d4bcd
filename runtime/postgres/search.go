package postgres

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// search goes through the indexes beside the looks that begin at the marks:
// from now back to the beginning, one window of time after the other. It
// repeats all looks there: for tasks, for due ones, for ones given back and
// put aside. The number of entries read in a window sets the length of the
// next.
//
// The upkeep does a window at a time. A pass rests four times as long as its windows
// took; for how long the server was away between two of them does not count.
type search struct {
	began bool          // the pass has; false between two
	took  time.Duration // the windows of this pass
	until pgtype.Timestamptz
	width time.Duration

	read, found int // index entries, and rows, in this pass
	runs        map[int64]string
	park        bool
	parked      time.Time // when a pass that parks began
}

const (
	// windowRead is how many index entries a window should read.
	windowRead = 5000
	// searchTimeout bounds an overlong window, on the server.
	searchTimeout = "250ms"
	firstWindow   = time.Second
	leastWindow   = time.Millisecond
	lastWindow    = 30 * 365 * 24 * time.Hour // thus to the beginning
	searchRests   = 4
	// fewRead is how many entries a pass reads in vain when the dead rows are
	// gone.
	fewRead = 4 * mostInVain
)

// search is the chore; c is its own.
func (s *serve) search(ctx context.Context, c *chore) (more bool, err error) {
	x := &s.searching
	if !s.dead.known() {
		c.every = s.e.cfg.PollInterval
		*x = search{parked: x.parked}
		return false, nil
	}
	now := time.Now()
	if !x.began {
		*x = search{
			began: true, until: infinity, width: firstWindow, runs: make(map[int64]string),
			parked: x.parked, park: now.Sub(x.parked) >= s.grace,
		}
		if x.park {
			x.parked = now
		}
	}
	from := x.from(s.dead.serverNow())
	read, err := s.searchWindow(ctx, x, from)
	switch {
	case sqlState(err) == queryCanceled && x.width > leastWindow:
		x.width = max(x.width/8, leastWindow)
		return true, nil
	case err != nil:
		return false, fmt.Errorf("search beside dead rows: %w", err)
	}
	x.took += time.Since(now)
	if from.InfinityModifier != pgtype.NegativeInfinity {
		x.next(from, read)
		return true, nil
	}
	c.every = max(s.e.cfg.PollInterval, searchRests*x.took)
	s.dead.searched(x.runs, x.read-x.found <= fewRead)
	x.began = false
	return false, nil
}

// queryCanceled is the code of a statement that took longer than it may.
const queryCanceled = "57014"

// from returns where the window begins.
func (x *search) from(now time.Time) pgtype.Timestamptz {
	until := now
	if x.until.InfinityModifier == pgtype.Finite {
		until = x.until.Time
	}
	if x.width >= lastWindow {
		return minusInfinity
	}
	return pgtype.Timestamptz{Time: until.Add(-x.width), Valid: true}
}

// next moves on to the window before from; read is how much this one has read.
func (x *search) next(from pgtype.Timestamptz, read int) {
	x.until = from
	switch {
	case read > windowRead:
		x.width = max(time.Duration(float64(x.width)*windowRead/float64(read)), leastWindow)
	case read < windowRead/4:
		x.width *= 4
	}
}

// searchWindow does the due work between a time and the window's end, and
// returns how many index entries were read.
func (s *serve) searchWindow(ctx context.Context, x *search, from pgtype.Timestamptz) (read int, err error) {
	b := steered()
	if x.width > leastWindow {
		b.Queue("SELECT set_config('statement_timeout', '" + searchTimeout + "', true)")
	}
	var found []int64
	var unknown []kindOfQueue
	due := new(promoted)
	runs := make(map[int64]string)
	l := s.measured(b, func(b *pgx.Batch) {
		in, pass := s.dead.lanes(s.Queues), s.aside.ids()
		b.Queue(s.e.sql.below, in.queue, in.priority, in.at, from, x.until, s.openNames()).Query(collectIDs(&found))
		s.queuePromote(b, from, x.until, pass, promoteLot, due)
		b.Queue(s.e.sql.promoteUnique.all, from, x.until, pass, 1, s.e.sql.insertChannel)
		b.Queue(s.e.sql.running, from, x.until).Query(func(rows pgx.Rows) error {
			var id int64
			var owner string
			_, err := pgx.ForEachRow(rows, []any{&id, &owner}, func() error { runs[id] = owner; return nil })
			return err
		})
		if x.park {
			since, until := in.below(from, x.until)
			s.queuePark(b, in, since, until, pass, lotSize, &unknown)
		}
	})
	if err := s.e.send(ctx, callTimeout, b); err != nil {
		return 0, err
	}
	s.tellUnknown(unknown)
	maps.Copy(x.runs, runs)
	x.read += l.read
	x.found += len(found) + due.moved + len(unknown) + len(runs)
	if s.dead.add(found) || due.moved > 0 {
		s.News()
	}
	return l.read, nil
}
