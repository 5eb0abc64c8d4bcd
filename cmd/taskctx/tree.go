package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// node is a task of a tree.
type node struct {
	// Entry is the name under which its parent has spawned it.
	Entry  string       `json:"entry,omitempty"`
	ID     uuid.UUID    `json:"id"`
	Name   string       `json:"name,omitempty"`
	State  engine.State `json:"state,omitempty"`
	Reason string       `json:"reason,omitempty"`
	// Gone: the record is gone, and the rest is what the parent remembers.
	Gone     bool    `json:"gone,omitempty"`
	Children []*node `json:"children,omitempty"`
}

// grove reads trees, of so many tasks at most, if most is not 0.
type grove struct {
	s    *session
	most int
	n    int
	cut  bool
}

// showTree prints a task and the tasks that it has spawned, and theirs.
func showTree(ctx context.Context, s *session, id uuid.UUID, asJSON bool, most int) error {
	g := &grove{s: s, most: most}
	root, err := g.node(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(s.out).Encode(root)
	}
	g.print(root, 0)
	if g.cut {
		fmt.Fprintf(s.errOut, "there are more than these %d: show -tree -all\n", g.n)
	}
	return nil
}

// node reads a task and those below it.
func (g *grove) node(ctx context.Context, id uuid.UUID) (*node, error) {
	r, err := g.s.app.Lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	g.n++
	n := &node{ID: id, Name: r.Name, State: r.State, Reason: r.Reason}
	js, err := journalOf(ctx, g.s.app, id)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, err
	}
	for _, j := range js {
		if j.Child == uuid.Nil {
			continue
		}
		if g.most > 0 && g.n >= g.most {
			g.cut = true
			break
		}
		child, err := g.node(ctx, j.Child)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			g.n++
			child = &node{ID: j.Child, Name: j.Task, State: j.State, Reason: j.Reason, Gone: true}
		case err != nil:
			return nil, err
		}
		child.Entry = j.Name
		n.Children = append(n.Children, child)
	}
	return n, nil
}

// print prints a tree, a line a task.
func (g *grove) print(n *node, depth int) {
	line := strings.Repeat("  ", depth)
	if n.Entry != "" {
		line += oneLine(n.Entry) + "  "
	}
	line += fmt.Sprintf("%s %s %s", n.ID, oneLine(n.Name), n.State)
	if n.Reason != "" {
		line += "  " + oneLine(firstLine(n.Reason))
	}
	if n.Gone {
		line += "  (its record is gone)"
	}
	fmt.Fprintln(g.s.out, line)
	for _, c := range n.Children {
		g.print(c, depth+1)
	}
}
