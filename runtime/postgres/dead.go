package postgres

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Postgres keeps dead versions of rows as long as a transaction of the
// database may see them: a backup, a report, a session that was left open.
// Each task leaves some of them in the indexes by which tasks are looked for,
// and each look would read all of them again.
//
// So a worker asks now and then how many index entries a look has read. If
// these were many more than it found, a look begins where one some moments ago
// ended, and now and then where one a second ago ended, since a transaction
// commits later than its now(). Tasks below that place, such as one that was
// given back, are found by a search through the rest, a part at a time, as
// long as the dead rows are there; see search.

const (
	// measureEvery is how often a look is measured before any has read too much.
	measureEvery = 250 * time.Millisecond
	// mostInVain is how many index entries a look may read beyond twice the
	// wanted ones.
	mostInVain = 256
	// mostRunning is the same for the look at all running tasks, of all workers.
	mostRunning = 20_000
	// mostFound is how many tasks below the marks are remembered.
	mostFound = 1000
)

// priorities are River's.
var priorities = []int16{1, 2, 3, 4}

// lane is the tasks of a queue with one of River's priorities, which are
// consecutive in the index.
type lane struct {
	queue    string
	priority int16
}

// mark is a place in a lane: a look begins after it.
type mark struct {
	at time.Time
	id int64
}

func (m mark) compare(o mark) int { return cmp.Or(m.at.Compare(o.at), cmp.Compare(m.id, o.id)) }

// deadRows is a worker's knowledge of dead rows that stay, and of the places
// where it has looked. Its zero value is ready, and knows of none.
type deadRows struct {
	mu    sync.Mutex // guards all below
	many  bool       // looks begin at the marks
	since time.Time  // when many became true
	// tasks and dues are what is known of the looks for tasks, and for due ones.
	tasks, dues looks
	now         time.Time        // the server's, at the last measured look
	heads       map[lane]mark    // how far looks for tasks have got
	marks       trail[heads]     // how far they had, not long ago
	due         trail[time.Time] // how far looks for due tasks have got
	found       []int64          // tasks below the marks
	runs        map[int64]string // the workers of running tasks, by the last search; nil before
}

type heads = map[lane]mark

// looks is what is known of looks while there are few dead rows.
type looks struct {
	measured time.Time // when one was last, by this process's clock
	wary     bool      // it read too much
}

// again notes whether one has read too much, and reports whether two in a row have. One
// alone does where a crash of the server has taken its marks on entries that are dead
// for everybody, and makes them anew.
func (l *looks) again(tooMuch bool) bool {
	before := l.wary
	l.wary = tooMuch
	return tooMuch && before
}

// measure reports whether the next look for tasks is to be measured.
func (d *deadRows) measure() bool { return d.measureNow(&d.tasks) }

// measureDue reports it of the next look for due tasks.
func (d *deadRows) measureDue() bool { return d.measureNow(&d.dues) }

func (d *deadRows) measureNow(l *looks) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(l.measured) >= measureEvery {
		l.measured = now
		return true
	}
	return d.many || l.wary
}

// known reports whether there are many dead rows.
func (d *deadRows) known() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.many
}

// reset begins anew, without marks. It is called with the lock held.
func (d *deadRows) reset() {
	d.many, d.heads, d.found, d.runs = false, nil, nil, nil
	d.tasks.wary, d.dues.wary = false, false
	d.marks, d.due = trail[heads]{}, trail[time.Time]{}
}

// begin makes looks begin at the marks. It is called with the lock held.
func (d *deadRows) begin() {
	if !d.many {
		d.many, d.since = true, time.Now()
	}
}

// knownFor returns for how long there have been many.
func (d *deadRows) knownFor() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.many {
		return 0
	}
	return time.Since(d.since)
}

// at notes the server's time. If its clock was set back, new tasks come below
// the marks. It is called with the lock held.
func (d *deadRows) at(now time.Time) {
	if now.Before(d.now.Add(-time.Second)) {
		d.reset()
	}
	d.now = now
}

// looked notes a look for tasks in the lanes of queues, with the number of
// entries read.
func (d *deadRows) looked(queues []string, want int, claimed []*job, l look) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at(l.now)
	if !d.many && !d.tasks.again(l.read > mostInVain+2*want) {
		return
	}
	d.begin()
	if d.heads == nil {
		d.heads = make(heads)
	}
	if len(claimed) < want { // it has seen all of them
		for _, q := range queues {
			for _, p := range priorities {
				d.heads[lane{q, p}] = mark{at: l.now}
			}
		}
	} else {
		for _, j := range claimed {
			in, m := lane{j.queue, int16(j.priority)}, mark{j.scheduledAt, j.id}
			if m.compare(d.heads[in]) > 0 {
				d.heads[in] = m
			}
		}
	}
	if d.marks.empty() {
		before := make(heads, len(d.heads))
		for in, m := range d.heads {
			before[in] = mark{at: m.at.Add(-longTrail)}
		}
		d.marks.add(l.now.Add(-longTrail), before)
	}
	if d.marks.may(l.now) {
		d.marks.add(l.now, maps.Clone(d.heads))
	}
	d.marks.looked(l.read)
}

// lookedDue notes a look for due tasks, with the number of tasks moved, and
// whether these were all.
func (d *deadRows) lookedDue(moved int, all bool, l look) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at(l.now)
	if !d.many && !d.dues.again(l.read > mostInVain+2*moved) {
		return
	}
	d.begin()
	if all && d.due.empty() {
		d.due.add(l.now.Add(-longTrail), l.now.Add(-longTrail))
	}
	if all && d.due.may(l.now) {
		d.due.add(l.now, l.now)
	}
	d.due.looked(l.read)
}

// lookedRunning notes a look at all running tasks.
func (d *deadRows) lookedRunning(l look) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at(l.now)
	if l.read > mostRunning {
		d.begin()
	}
}

// dueFrom returns where a look for due tasks begins.
func (d *deadRows) dueFrom() pgtype.Timestamptz {
	d.mu.Lock()
	defer d.mu.Unlock()
	return timeOrNever(d.due.mark())
}

// lanes are the lanes of queues with their marks, by columns.
type lanes struct {
	queue    []string
	priority []int16
	at       []pgtype.Timestamptz // minus infinity without a mark
	id       []int64
}

// toLook returns the lanes for a look for tasks.
func (d *deadRows) toLook(queues []string) *lanes {
	d.mu.Lock()
	defer d.mu.Unlock()
	return newLanes(queues, d.marks.mark())
}

// lanes returns the lanes with the last marks.
func (d *deadRows) lanes(queues []string) *lanes {
	d.mu.Lock()
	defer d.mu.Unlock()
	return newLanes(queues, d.marks.last())
}

func newLanes(queues []string, marks heads) *lanes {
	l := new(lanes)
	for _, q := range queues {
		for _, p := range priorities {
			m := marks[lane{q, p}]
			l.queue, l.priority = append(l.queue, q), append(l.priority, p)
			l.at, l.id = append(l.at, timeOrNever(m.at)), append(l.id, m.id)
		}
	}
	return l
}

// below returns time bounds for the tasks between two times and below the
// marks.
func (l *lanes) below(from, until pgtype.Timestamptz) (since, to []pgtype.Timestamptz) {
	for _, at := range l.at {
		if until.InfinityModifier == pgtype.Finite && at.InfinityModifier == pgtype.Finite && until.Time.Before(at.Time) {
			at = until
		}
		since, to = append(since, from), append(to, at)
	}
	return since, to
}

// add notes tasks below the marks, and reports whether there are any.
func (d *deadRows) add(found []int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range found {
		if len(d.found) < mostFound && !slices.Contains(d.found, id) {
			d.found = append(d.found, id)
		}
	}
	return len(found) > 0
}

// below notes tasks that this worker knows to be due and below the marks, if there are
// any: one that waits no more keeps its place, and one that took long to be stored has
// that of the transaction's begin.
func (d *deadRows) below(jobs []int64) {
	if len(jobs) > 0 && d.known() {
		d.add(jobs)
	}
}

// below is [deadRows.below] for each worker of this engine.
func (e *Engine) below(jobs []int64) {
	e.eachServe(func(s *serve) { s.dead.below(jobs) })
}

// searched notes the end of a search through everything, with the workers of
// the running tasks. If few dead rows are left, looks begin at the beginning
// again.
func (d *deadRows) searched(runs map[int64]string, few bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.runs = runs; few {
		d.reset()
	}
}

// serverNow returns the server's time, at the last measured look.
func (d *deadRows) serverNow() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// take returns up to n of the tasks below the marks.
func (d *deadRows) take(n int) []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, len(d.found))
	taken := d.found[:n:n]
	d.found = d.found[n:]
	return taken
}

// worker returns the running tasks of a worker, by the last search.
func (d *deadRows) worker(owner string) []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []int64
	for id, o := range d.runs {
		if o == owner {
			ids = append(ids, id)
		}
	}
	return ids
}

// owners calls each with the workers of running tasks, by the last search.
func (d *deadRows) owners(each func(owner string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.runs {
		each(o)
	}
}

// look is the cost of a look, and the server's time.
type look struct {
	read int
	now  time.Time
}

// measured calls do to queue its statements between two questions to the
// server; the look is known when the batch was sent.
func (s *serve) measured(b *pgx.Batch, do func(b *pgx.Batch)) *look {
	l := new(look)
	b.Queue(s.e.sql.reads).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&l.read, &l.now)
		l.read = -l.read
		return err
	})
	do(b)
	b.Queue(s.e.sql.reads).QueryRow(func(row pgx.Row) error {
		var read int
		err := row.Scan(&read, &l.now)
		l.read += read
		return err
	})
	return l
}

var (
	minusInfinity = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	infinity      = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
)

// timeOrNever returns a time as a parameter, minus infinity for none.
func timeOrNever(t time.Time) pgtype.Timestamptz {
	if t.IsZero() {
		return minusInfinity
	}
	return pgtype.Timestamptz{Time: t, Valid: true}
}
