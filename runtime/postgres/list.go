package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// pageSize is the size of a page when a query names none.
	pageSize = 100
	// pageBytes is the size of bodies at which a page is full.
	pageBytes = 4 << 20
	// windowRows is how many rows are looked at for a page, if the filter has
	// many jobs in its indexes, or no index.
	windowRows = 5000
	// fewRows is up to how many jobs found by an index a listing goes by: a page looks
	// at fewAtOnce of them, or twice as many as it has room for.
	fewRows, fewAtOnce = 20_000, 500
)

// Conditions on the job j for the states that River does not have.
const (
	isAgain = `coalesce(j.metadata -> 'taskctx' ->> 'again', '') = 'true'`
	isLater = `j.state = 'scheduled' AND j.scheduled_at > now() AND NOT ` + hasParked
)

// stateConditions say which jobs are in each state, as publicState does.
var stateConditions = map[engine.State]string{
	engine.StateScheduled: isLater + ` AND NOT ` + isAgain,
	engine.StatePending: `j.state IN ('available', 'pending', 'scheduled') AND NOT (` + isLater + `) AND NOT ` + isAgain +
		` AND NOT (` + isWaits + `)`,
	engine.StateWaiting:   isWaits,
	engine.StateRetrying:  `(j.state = 'retryable' OR j.state IN ('available', 'pending', 'scheduled') AND ` + isAgain + `)`,
	engine.StateRunning:   `j.state = 'running'`,
	engine.StateSucceeded: `j.state = 'completed'`,
	engine.StateFailed:    `j.state = 'discarded'`,
	engine.StateCancelled: `j.state = 'cancelled'`,
}

// happened is the time of the last event of the job j, as in
// engine.Entry.When. anyReason is every text that may be its reason, isPaused whether its
// kind is paused.
const (
	happened  = `coalesce(j.finalized_at, j.attempted_at, j.created_at)`
	anyReason = `concat(j.metadata -> 'taskctx' ->> 'reason', E'\n', j.errors[array_upper(j.errors, 1)] ->> 'error',
	E'\nwaits for ' || (j.metadata -> 'taskctx' ->> 'limit'),
	CASE WHEN {pausedkind} THEN E'\ntasks named ' || to_json(j.kind) || ' are paused' END)`
	isPaused = `EXISTS (SELECT FROM {s}.taskctx_pause n WHERE n.name = j.kind)`
)

// withPaused puts isPaused into SQL about the job j.
func withPaused(sql, schema string) string {
	return strings.NewReplacer("{pausedkind}", strings.ReplaceAll(isPaused, "{s}", quoted(schema))).Replace(sql)
}

// riverStates are, for each state, the states of River's that may mean it.
var riverStates = map[engine.State][]string{
	engine.StateScheduled: {riverScheduled},
	engine.StatePending:   {riverAvailable, riverPending, riverScheduled},
	engine.StateRetrying:  {riverRetryable, riverAvailable, riverPending, riverScheduled},
	engine.StateWaiting:   {riverPending},
	engine.StateRunning:   {riverRunning},
	engine.StateSucceeded: {riverCompleted},
	engine.StateFailed:    {riverDiscarded},
	engine.StateCancelled: {riverCancelled},
}

// List implements [engine.Engine].
func (e *Engine) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	if err := e.closed(); err != nil {
		return nil, "", err
	}
	l := listing{e: e, q: q, limit: q.Limit}
	if q.Newest {
		l.after = math.MaxInt64
	}
	if q.Cursor != "" {
		n, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil || n < 1 {
			return nil, "", fmt.Errorf("cursor %q: %w", q.Cursor, engine.ErrCursor)
		}
		l.after = n
	}
	if l.limit <= 0 {
		l.limit = pageSize
	}
	if err := l.read(ctx); err != nil {
		return nil, "", e.failed("postgres", err)
	}
	return l.found, l.next, nil
}

// listing is one call of List.
type listing struct {
	e     *Engine
	q     engine.Query
	limit int
	after int64   // jobs from here on, the newest first down from here,
	last  *int64  // and up to here, or down to it, are looked at; nil: to the end
	few   []int64 // all that the filter can have, if an index found few

	found []*engine.Entry
	bytes int
	next  string
}

// read reads the page, and sets the cursor of the next.
func (l *listing) read(ctx context.Context) error {
	if err := l.bound(ctx); err != nil {
		return err
	}
	if l.few != nil && len(l.few) == 0 {
		return nil
	}
	after := l.after
	for {
		want := l.limit - len(l.found)
		rows := min(want+1, l.chunk())
		if l.q.Reason != "" {
			rows = max(rows, pageSize)
		}
		read, full := 0, false
		text, args := l.query(after, rows)
		err := l.e.steered(ctx, text, args, func(scan func(...any) error) error {
			if full {
				return nil
			}
			if len(l.found) == l.limit || l.bytes >= pageBytes {
				full = true
				return nil
			}
			var j job
			if err := scan(j.pointers()...); err != nil {
				return err
			}
			read, after = read+1, j.id
			if en := l.e.entry(&j); l.q.Matches(en) { // the query finds too much where reasons are compared
				l.bytes += len(j.args) + len(j.metadata)
				l.found = append(l.found, en)
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case full:
			l.next = strconv.FormatInt(after, 10)
			return nil
		case read < rows: // the end of what is looked at
			if l.last != nil {
				l.next = strconv.FormatInt(*l.last, 10)
			}
			return nil
		}
	}
}

// chunk returns how many rows to ask for at once, so that few are read in vain
// when they turn out to be large.
func (l *listing) chunk() int {
	if l.q.Brief { // what may be large is left out
		return windowRows
	}
	if len(l.found) == 0 {
		return pageSize + 1
	}
	each := max(l.bytes/len(l.found), 1)
	return min(max((pageBytes-l.bytes)/each, 1)+1, windowRows)
}

// bound bounds the rows to look at: all jobs that an index finds, if they are
// few, or else a window from the cursor on.
func (l *listing) bound(ctx context.Context) error {
	for _, c := range l.candidates() {
		var ids []int64
		err := l.e.steered(ctx, c.text, c.args, func(scan func(...any) error) error {
			var id int64
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return err
		}
		if len(ids) <= fewRows {
			l.few = slices.DeleteFunc(ids, func(id int64) bool { return l.q.Newest && id >= l.after || !l.q.Newest && id <= l.after })
			l.cut()
			return nil
		}
	}
	window := l.e.sql.window
	if l.q.Newest {
		window = l.e.sql.windowNewest
	}
	return l.e.steered(ctx, window, []any{l.after, windowRows - 1}, func(scan func(...any) error) error {
		l.last = new(int64)
		return scan(l.last)
	})
}

// cut leaves those of the few that a page is for.
func (l *listing) cut() {
	if l.few == nil {
		l.few = []int64{}
	}
	most := max(fewAtOnce, 2*l.limit)
	if len(l.few) <= most {
		return
	}
	slices.Sort(l.few)
	if l.q.Newest {
		slices.Reverse(l.few)
	}
	l.few = l.few[:most]
	l.last = &l.few[most-1]
}

// candidate is a query of an index for jobs that may match the filter.
type candidate struct {
	text string
	args []any
}

// candidates returns queries of indexes that the filter has a part of, in the order in
// which they likely find few: few jobs may have failed of very many with their name, and
// few have a name of very many that wait.
func (l *listing) candidates() (cs []candidate) {
	from := "SELECT id FROM " + quoted(l.e.cfg.Schema) + ".river_job j WHERE "
	limit := fmt.Sprintf(" LIMIT %d", fewRows+1)
	if l.q.Name != "" {
		cs = append(cs, candidate{from + "j.kind = $1" + limit, []any{l.q.Name}})
	}
	// Most of a name have succeeded: to look for few in that state is in vain.
	all := len(l.q.States) == 0 || slices.Contains(l.q.States, engine.StateSucceeded)
	if all && (l.q.Name != "" || l.q.Queue == "" && len(l.q.States) == 0) {
		return cs
	}
	states := []string{}
	for _, s := range l.q.States {
		states = append(states, riverStates[s]...)
	}
	if len(l.q.States) == 0 {
		for _, s := range engine.States() {
			states = append(states, riverStates[s]...)
		}
	}
	slices.Sort(states)
	states = slices.Compact(states)
	if len(states) == 0 {
		return []candidate{{from + "false", nil}}
	}
	// One after the other: of several at once the planner takes no index.
	parts := make([]string, len(states))
	for i, s := range states {
		parts[i] = "(" + from + "j.state = '" + s + "'"
		if l.q.Queue != "" {
			parts[i] += " AND j.queue = $1"
		}
		parts[i] += limit + ")"
	}
	c := candidate{text: "SELECT id FROM (" + strings.Join(parts, " UNION ALL ") + ") u" + limit}
	if l.q.Queue != "" {
		c.args = []any{l.q.Queue}
	}
	return append([]candidate{c}, cs...)
}

// conditionsOf returns the condition of each state, false for one that no job has.
func conditionsOf(states []engine.State) []string {
	conditions := make([]string, len(states))
	for i, s := range states {
		if conditions[i] = stateConditions[s]; conditions[i] == "" {
			conditions[i] = "false"
		}
	}
	return conditions
}

func riverPriorities(ps []int8) []int16 {
	all := make([]int16, len(ps))
	for i, p := range ps {
		all[i] = riverPriority(p)
	}
	return all
}

// query returns the query for a number of rows of the filter.
func (l *listing) query(after int64, rows int) (string, []any) {
	var b strings.Builder
	if l.q.Brief {
		b.WriteString(l.e.sql.listBrief)
	} else {
		b.WriteString(l.e.sql.list)
	}
	var args []any
	arg := func(v any, typ string) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args)) + "::" + typ
	}
	beyond, upTo, order := ">", "<=", ""
	if l.q.Newest {
		beyond, upTo, order = "<", ">=", " DESC"
	}
	b.WriteString("j.id " + beyond + " " + arg(after, "bigint"))
	if l.last != nil {
		b.WriteString(" AND j.id " + upTo + " " + arg(*l.last, "bigint"))
	}
	if l.few != nil {
		b.WriteString(" AND j.id = ANY(" + arg(l.few, "bigint[]") + ")")
	}
	if len(l.q.States) > 0 {
		b.WriteString(" AND ((" + strings.Join(conditionsOf(l.q.States), ") OR (") + "))")
	}
	if l.q.Name != "" {
		b.WriteString(" AND j.kind = " + arg(l.q.Name, "text"))
	}
	if l.q.Queue != "" {
		b.WriteString(" AND j.queue = " + arg(l.q.Queue, "text"))
	}
	if len(l.q.Priorities) > 0 {
		b.WriteString(" AND j.priority = ANY(" + arg(riverPriorities(l.q.Priorities), "smallint[]") + ")")
	}
	switch {
	case l.q.Tag != "" && l.q.TagValue != "":
		b.WriteString(" AND j.metadata -> 'taskctx' -> 'tags' ->> " + arg(l.q.Tag, "text") + " = " + arg(l.q.TagValue, "text"))
	case l.q.Tag != "":
		b.WriteString(" AND j.metadata -> 'taskctx' -> 'tags' ? " + arg(l.q.Tag, "text"))
	}
	if l.q.Worker != "" {
		b.WriteString(" AND " + lastWorker + " IN (" + arg(l.q.Worker, "text") + ", " + arg(ownerPrefix+l.q.Worker, "text") + ")")
	}
	for key, id := range map[string]uuid.UUID{"parent": l.q.Parent, "root": l.q.Root} {
		if id == uuid.Nil {
			continue
		}
		named := "j.metadata -> 'taskctx' ->> '" + key + "' = " + arg(id.String(), "text")
		if job, ok := l.e.jobOf(id); ok {
			named += " OR (" + parentOf + ") = " + arg(job, "bigint")
			if key == "root" {
				named += " AND NOT j.metadata -> 'taskctx' ? 'root'"
			}
		}
		b.WriteString(" AND (" + named + ")")
	}
	if part := l.q.ReasonPart(); part != "" {
		b.WriteString(" AND strpos(" + withPaused(anyReason, l.e.cfg.Schema) + ", " + arg(part, "text") + ") > 0")
	}
	if !l.q.Since.IsZero() {
		b.WriteString(" AND " + happened + " >= " + arg(l.q.Since, "timestamptz"))
	}
	if !l.q.Until.IsZero() {
		b.WriteString(" AND " + happened + " < " + arg(l.q.Until.Add(time.Microsecond), "timestamptz"))
	}
	b.WriteString(" ORDER BY j.id" + order + " LIMIT " + arg(rows, "bigint"))
	return b.String(), args
}
