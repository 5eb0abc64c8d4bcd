package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// journalOut is the journal of a durable task.
type journalOut struct {
	Entries []inspect.JournalRecord `json:"entries"`
}

// journal returns the journal of a durable task, and an empty one for others.
func (q *request) journal(in *taskIn) (journalOut, error) {
	out := journalOut{Entries: []inspect.JournalRecord{}}
	ctx, cancel := q.store()
	defer cancel()
	entries, err := q.h.app.Journal(ctx, in.ID)
	if err != nil && !isUnsupported(err) {
		return out, err
	}
	for _, e := range entries {
		e.Value = inspect.JSON(e.Value)
		out.Entries = append(out.Entries, e)
	}
	return out, nil
}

// journalRow is an entry as a page shows it.
type journalRow struct {
	Kind, Name  string
	Value       string
	Child       string // relative URL
	Task        string
	State       engine.State // of a child that has ended
	Waits       bool         // the child has not ended
	Reason      string
	AttemptFrom string
}

// journalPage is a journal, with a count of the children that have ended.
type journalPage struct {
	Rows     []journalRow
	Hidden   int
	Children string
}

// journalLen is how many entries a page shows.
const journalLen = 100

// journalOf is the journal of a task's page, nil if it has none.
func (q *request) journalOf(r *runtime.Record) (*journalPage, error) {
	out, err := q.journal(&taskIn{ID: r.ID})
	if err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return nil, err
	}
	if len(out.Entries) == 0 {
		return nil, nil
	}
	p := &journalPage{}
	children, ended, bad := 0, 0, 0
	for _, e := range out.Entries {
		row := journalRow{
			Kind: e.Kind, Name: clean(e.Name, maxName), Value: clean(string(e.Value), maxLine), Task: clean(e.Task, maxName),
			State: e.State, Reason: clean(firstLine(e.Reason), maxLine), AttemptFrom: number(int64(e.Attempt) + 1),
		}
		if e.Kind == engine.EntryChild.String() {
			row.Value = ""
			children++
			if e.Child != uuid.Nil {
				row.Child = "tasks/" + e.Child.String()
			}
			switch e.State {
			case "":
				row.Waits = true
			case engine.StateSucceeded:
				ended++
			default:
				ended, bad = ended+1, bad+1
			}
		}
		p.Rows = append(p.Rows, row)
	}
	if children > 0 {
		p.Children = fmt.Sprintf("%s of %s ended", number(int64(ended)), many(int64(children), "child task"))
		if bad > 0 {
			p.Children += ", " + number(int64(bad)) + " not well"
		}
	}
	// What it waits for, and what went wrong, comes first where not all is shown.
	if p.Hidden = len(p.Rows) - journalLen; p.Hidden > 0 {
		slices.SortStableFunc(p.Rows, func(x, y journalRow) int { return cmp.Compare(y.weight(), x.weight()) })
		p.Rows = p.Rows[:journalLen]
	}
	return p, nil
}

func (r *journalRow) weight() int {
	switch {
	case r.State != "" && r.State != engine.StateSucceeded:
		return 2
	case r.Waits:
		return 1
	}
	return 0
}

// branch is a task in a tree.
type branch struct {
	row
	Indent string // a class
	Self   bool
}

const (
	// treeTasks is how many tasks of a tree a page shows, and treeDepth how deep it
	// goes.
	treeTasks, treeDepth = 100, 6
	// treeList is how many are read of it, treeSoon how many children are looked up
	// however late it is.
	treeList, treeSoon = 1000, 8
)

// tree returns the tree that a task is in, nil if it is alone. Of a large one it
// shows a part.
func (q *request) tree(r *runtime.Record) (tree []branch, more bool, err error) {
	ctx, cancel := context.WithTimeout(q.Context(), storeTimeout)
	defer cancel()
	root := r.RootID
	below, more, err := q.under(ctx, root)
	if err != nil || len(below) == 0 {
		return nil, false, err
	}
	children := make(map[uuid.UUID][]*runtime.Record)
	for _, c := range below {
		if c.ID != root {
			children[c.ParentID] = append(children[c.ParentID], c)
		}
	}
	top := r
	if root != r.ID {
		top, err = q.h.app.Lookup(ctx, root)
		if errors.Is(err, runtime.ErrNotFound) {
			top, err = &runtime.Record{ID: root, Name: "a task that is gone"}, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	seen := make(map[uuid.UUID]bool)
	var add func(c *runtime.Record, depth int)
	add = func(c *runtime.Record, depth int) {
		if seen[c.ID] || len(tree) >= treeTasks {
			more = more || len(tree) >= treeTasks
			return
		}
		seen[c.ID] = true
		b := branch{row: rowOf(sound(c), q.now), Self: c.ID == r.ID}
		if depth > 0 {
			b.Indent = "i" + strings.Repeat("i", min(depth, treeDepth)-1)
		}
		tree = append(tree, b)
		for _, child := range children[c.ID] {
			add(child, depth+1)
		}
	}
	add(top, 0)
	for _, c := range below { // whose parents are gone
		add(c, 1)
	}
	return tree, more, nil
}

// under returns tasks under a root in the order of their ids, for as long as a page may
// take: among many tasks without an index it looks from both ends, and at those that
// the root's journal names.
func (q *request) under(ctx context.Context, root uuid.UUID) (below []*runtime.Record, more bool, err error) {
	seen := make(map[uuid.UUID]bool)
	add := func(page []*runtime.Record) {
		for _, r := range page {
			if !seen[r.ID] {
				seen[r.ID], below = true, append(below, r)
			}
		}
	}
	next := ""
	for _, newest := range []bool{true, false} {
		next, err = q.each(ctx, engine.Query{Root: root, Newest: newest}, func(page []*runtime.Record, _ string) bool {
			add(page)
			return len(below) < treeList && !q.late() && (!newest || q.left() > fillTime/2)
		})
		if newest && isUnsupported(err) {
			continue
		}
		if err != nil || next == "" {
			break
		}
	}
	if err == nil && next != "" {
		q.spawned(ctx, root, seen, add)
	}
	slices.SortFunc(below, func(x, y *runtime.Record) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	return below, next != "", err
}

// spawned adds the children that a root's journal names and that were not seen yet, in
// the time that is left.
func (q *request) spawned(ctx context.Context, root uuid.UUID, seen map[uuid.UUID]bool, add func([]*runtime.Record)) {
	entries, err := q.h.app.Journal(ctx, root)
	if err != nil {
		return // then it has none
	}
	asked := 0
	for _, e := range entries {
		if e.Child == uuid.Nil || seen[e.Child] {
			continue
		}
		if asked++; asked > treeTasks || asked > treeSoon && q.late() {
			return
		}
		if r, err := q.h.app.Lookup(ctx, e.Child); err == nil {
			add([]*runtime.Record{r})
		}
	}
}
