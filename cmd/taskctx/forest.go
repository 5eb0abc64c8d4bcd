package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// treeTasks is how many tasks of a tree are shown without -all.
const treeTasks = 200

// treeFlags declares tree: by the parents of tasks, where show -tree goes by journals.
func treeFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "print each tree as a line of JSON")
	all := f.Bool("all", false, fmt.Sprintf("print more than %d tasks", treeTasks))
	return func(ctx context.Context, s *session, args []string) error {
		most := treeTasks
		if *all || *asJSON {
			most = 0
		}
		return eachID(args, func(id uuid.UUID) error {
			root, more, err := s.family(ctx, id, most)
			if err != nil {
				return err
			}
			if *asJSON {
				return json.NewEncoder(s.out).Encode(root)
			}
			(&grove{s: s}).print(root, 0)
			if more {
				fmt.Fprintln(s.errOut, "there are more: tree -all")
			}
			return nil
		})
	}
}

// family reads a task and those below it, of at most so many tasks of its tree, if
// most is not 0.
func (s *session) family(ctx context.Context, id uuid.UUID, most int) (top *node, more bool, err error) {
	r, err := s.app.Lookup(ctx, id)
	if err != nil {
		return nil, false, err
	}
	nodes := map[uuid.UUID]*node{id: nodeOf(r)}
	children := make(map[uuid.UUID][]uuid.UUID)
	q := engine.Query{Root: r.RootID, Brief: true, Limit: countPage}
	for {
		records, next, err := s.app.List(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, c := range records {
			if nodes[c.ID] == nil {
				nodes[c.ID] = nodeOf(c)
			}
			if c.ID != id {
				children[c.ParentID] = append(children[c.ParentID], c.ID)
			}
		}
		if more = next != "" && most > 0 && len(nodes) >= most; more || next == "" {
			break
		}
		q.Cursor = next
	}
	left := most
	var add func(id uuid.UUID)
	add = func(id uuid.UUID) {
		n := nodes[id]
		for _, c := range children[id] {
			if left--; most > 0 && left <= 0 {
				more = true
				return
			}
			n.Children = append(n.Children, nodes[c])
			add(c)
		}
	}
	add(id)
	return nodes[id], more, nil
}

// countPage is how many tasks are read at a time.
const countPage = 1000

func nodeOf(r *runtime.Record) *node {
	return &node{ID: r.ID, Name: r.Name, State: r.State, Reason: r.Reason}
}

// all returns the tasks of a tree, parents before their children.
func (n *node) all() []*node {
	nodes := []*node{n}
	for _, c := range n.Children {
		nodes = append(nodes, c.all()...)
	}
	return nodes
}

// cancelTrees cancels tasks with all that they have enqueued, once somebody has
// agreed. It goes down: a task that is cancelled enqueues no more.
func (s *session) cancelTrees(ctx context.Context, m *many, why string, args []string) error {
	if *m.all || len(args) == 0 {
		return usagef("-tree needs IDs, and no -all")
	}
	ids, err := parseIDs(args)
	if err != nil {
		return err
	}
	groups := make(map[bulk.Group]int)
	var open []uuid.UUID
	seen := make(map[uuid.UUID]bool)
	for _, id := range ids {
		top, _, err := s.family(ctx, id, 0)
		if err != nil {
			return err
		}
		for _, n := range top.all() {
			if !seen[n.ID] && bulk.Cancel.Possible(n.State) {
				groups[bulk.Group{Name: n.Name, State: n.State}]++
				open = append(open, n.ID)
			}
			seen[n.ID] = true
		}
	}
	if len(open) == 0 {
		fmt.Fprintln(s.errOut, "no such tasks")
		return nil
	}
	if !*m.yes {
		printGroups(s.errOut, groups)
		if err := s.ask(fmt.Sprintf("cancel %d task(s)?", len(open))); err != nil {
			return err
		}
	}
	var r bulk.Result
	err = bulk.Each(ctx, s.app, bulk.Cancel, open, why, &r)
	return s.acted(&r, err)
}
