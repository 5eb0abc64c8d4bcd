package redis

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Bounds of List. It sorts all tasks while they are few; beyond that it goes
// through asynq's own collections, in their order; see walk.

const (
	// maxSorted is how many tasks are sorted, in how many queues. A listing
	// that began sorted goes on so up to sortedOn.
	maxSorted, maxSortedQueues, sortedOn = 10_000, 1000, 50_000
	// queuesAtOnce is for how many queues one round trip reads the ids.
	queuesAtOnce = 250
	// readAtOnce is how many tasks List reads with one round trip at most. It begins
	// with as many as the page has room for.
	readAtOnce, readFirst = 500, 64
	// A call looks at maxLooked tasks at most, and after enoughLooked of them
	// only until lookTime is over.
	maxLooked, enoughLooked = 5000, 500
	lookTime                = 8 * time.Millisecond
	// enoughReads is after how many reads the time counts as well: tasks in many
	// queues take a read for each.
	enoughReads = 32
)

// collections are asynq's, roughly from the oldest tasks to the newest.
var collections = []string{asynqCompleted, asynqArchived, asynqActive, asynqPending, asynqRetry, asynqScheduled}

// isList distinguishes asynq's lists, with the newest first, from its sorted
// sets.
func isList(collection string) bool { return collection == asynqActive || collection == asynqPending }

// collectionsOf returns the collections that hold tasks of the states.
func collectionsOf(states []engine.State) []string {
	if len(states) == 0 {
		return collections
	}
	in := make(map[string]bool)
	for _, s := range states {
		switch s {
		case engine.StateScheduled, engine.StateWaiting:
			in[asynqScheduled] = true
		case engine.StatePending:
			in[asynqPending] = true
			in[asynqActive], in[asynqScheduled], in[asynqRetry] = true, true, true // seen, due and not moved yet, parked
		case engine.StateRunning:
			in[asynqActive] = true
		case engine.StateRetrying:
			in[asynqPending], in[asynqRetry], in[asynqScheduled] = true, true, true // and one with limits
		case engine.StateSucceeded:
			in[asynqCompleted] = true
		case engine.StateFailed, engine.StateCancelled:
			in[asynqArchived] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(collections), func(c string) bool { return !in[c] })
}

// page is a page of a listing in the making.
type page struct {
	e       *Engine
	q       engine.Query
	limit   int
	sel     selection
	began   time.Time
	looked  int
	reads   int
	lot     int // how many tasks to read with the next round trip
	entries []*engine.Entry
}

// List implements [engine.Engine].
func (e *Engine) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	if err := e.closed(); err != nil {
		return nil, "", err
	}
	p := &page{e: e, q: q, limit: q.Limit, began: time.Now(), sel: selectionOf(q)}
	if p.limit <= 0 {
		p.limit = 100
	}
	p.lot = min(max(p.limit+1, readFirst), readAtOnce)
	var walked *walk
	var after place
	var err error
	if strings.HasPrefix(q.Cursor, walkPrefix) {
		if walked, err = parseWalk(q.Cursor); err != nil {
			return nil, "", err
		}
	} else if q.Cursor != "" {
		if after, err = parseCursor(q.Cursor); err != nil {
			return nil, "", err
		}
	}
	if len(q.Priorities) > 0 && !slices.Contains(q.Priorities, 0) {
		return nil, "", nil // no task has another
	}
	next, err := p.fill(ctx, walked, after)
	if err != nil {
		return nil, "", e.failed("redis", err)
	}
	return p.entries, next, nil
}

// selectionOf returns the part of a query by which the server can select.
func selectionOf(q engine.Query) selection {
	sel := selection{brief: q.Brief, bytes: maxBytes, name: q.Name, tagged: q.Tag != ""}
	if len(q.States) > 0 {
		sel.states = ","
		for _, s := range q.States {
			sel.states += string(s) + ","
		}
	}
	return sel
}

// fill makes the page, and returns the cursor of the next one.
func (p *page) fill(ctx context.Context, walked *walk, after place) (string, error) {
	queues := []string{p.q.Queue}
	if p.q.Queue == "" {
		all, err := p.e.allQueues(ctx)
		if err != nil {
			return "", err
		}
		queues = all
	}
	names := collectionsOf(p.q.States)
	if walked == nil {
		most := maxSorted
		if after != (place{}) {
			most = sortedOn
		}
		places, few, err := p.few(ctx, queues, names, most)
		if err != nil {
			return "", err
		}
		if few {
			return p.sorted(ctx, places, after)
		}
		walked = &walk{Skip: after.id, Newest: p.q.Newest}
	}
	if walked.Newest != p.q.Newest {
		return "", engine.ErrCursor
	}
	if p.q.Newest {
		names = slices.Clone(names)
		slices.Reverse(names)
	}
	return p.walk(ctx, queues, names, walked)
}

// sizesAtOnce is for how many queues one round trip reads the sizes.
const sizesAtOnce = 500

// sizes returns how many tasks the collections of the queues have.
func (p *page) sizes(ctx context.Context, queues []string) ([]map[string]int64, error) {
	all := make([]map[string]int64, 0, len(queues))
	for chunk := range slices.Chunk(queues, sizesAtOnce) {
		rows, err := p.e.run(ctx, sizeScript, anys(chunk)...).Slice()
		if err != nil {
			return nil, err
		}
		if len(rows) != len(chunk) {
			return nil, errAnswer
		}
		for _, row := range rows {
			of := make(map[string]int64, len(collections))
			numbers, _ := row.([]any)
			for i, v := range numbers {
				of[collections[i]], _ = v.(int64)
			}
			all = append(all, of)
		}
	}
	return all, nil
}

// few returns the tasks in the collections, if they are at most so many.
func (p *page) few(ctx context.Context, queues, names []string, most int) (places []place, few bool, err error) {
	if len(queues) > maxSortedQueues {
		return nil, false, nil
	}
	for chunk := range slices.Chunk(queues, queuesAtOnce) {
		args := append([]any{most - len(places), len(names)}, anys(names)...)
		rows, err := p.e.run(ctx, idsScript, append(args, anys(chunk)...)...).Slice()
		if err != nil || len(rows) == 0 || rows[0] != int64(0) {
			return nil, false, err
		}
		for i := 1; i+1 < len(rows); i += 2 {
			at, _ := rows[i].(int64)
			ids, _ := rows[i+1].([]any)
			for _, id := range ids {
				places = append(places, place{chunk[min(int(at)/len(names), len(chunk)-1)], text(id)})
			}
		}
	}
	return places, true, nil
}

// sorted fills the page from few tasks, the oldest first: version 7 ids sort
// by time.
func (p *page) sorted(ctx context.Context, places []place, after place) (string, error) {
	compare := place.compare
	if p.q.Newest {
		compare = func(a, b place) int { return b.compare(a) }
	}
	slices.SortFunc(places, compare)
	places = slices.Compact(places)
	if after != (place{}) {
		first, found := slices.BinarySearchFunc(places, after, compare)
		if found {
			first++
		}
		places = places[first:]
	}
	for len(places) > 0 {
		n, full, err := p.add(ctx, places[:min(p.lot, len(places))], "", "")
		if err != nil {
			return "", err
		}
		last := places[n-1]
		if places = places[n:]; full && len(places) > 0 {
			return last.cursor(), nil
		}
	}
	return "", nil
}

// add reads tasks, of one collection if it is named, and adds the selected
// ones. It returns how many it has looked at, and whether the page is full.
func (p *page) add(ctx context.Context, places []place, collection, skip string) (n int, full bool, err error) {
	n, rs, err := p.e.read(ctx, places, &p.sel)
	if err != nil {
		return 0, false, err
	}
	if n == 0 {
		return 0, false, errAnswer
	}
	for _, r := range rs {
		if collection != "" && r.state != collection {
			continue // it has moved on
		}
		if skip != "" && (p.q.Newest && r.id >= skip || !p.q.Newest && r.id <= skip) {
			continue // it was listed
		}
		en := p.e.entry(r)
		if !p.q.Matches(en) {
			continue
		}
		if p.q.Brief {
			en.Message.Args, en.Memo, en.Result = nil, nil, nil
		}
		p.entries = append(p.entries, en)
		if len(p.entries) == p.limit {
			return r.at + 1, true, nil
		}
	}
	p.looked += n
	p.reads++
	p.lot = min(2*p.lot, readAtOnce)
	return n, p.enough(), nil
}

// enough reports that the page has used its bounds.
func (p *page) enough() bool {
	return p.sel.bytes <= 0 || p.looked >= maxLooked ||
		(p.looked >= enoughLooked || p.reads >= enoughReads) && time.Since(p.began) > lookTime
}

func (p place) compare(o place) int {
	return cmp.Or(strings.Compare(p.id, o.id), strings.Compare(p.queue, o.queue))
}

// cursorPrefix begins the cursor of a sorted listing. The queue, escaped, and
// the id of the page's last task follow, since ids from asynq clients are
// unique only in a queue.
const cursorPrefix = "after:"

func (p place) cursor() string { return cursorPrefix + url.PathEscape(p.queue) + "/" + p.id }

func parseCursor(cursor string) (place, error) {
	rest, ok := strings.CutPrefix(cursor, cursorPrefix)
	escaped, id, found := strings.Cut(rest, "/")
	queue, err := url.PathUnescape(escaped)
	if !ok || !found || err != nil {
		return place{}, notACursor(cursor)
	}
	return place{queue, id}, nil
}

func notACursor(cursor string) error {
	return fmt.Errorf("cursor %q: %w", cursor, engine.ErrCursor)
}
