package gen

import (
	"fmt"
	"go/types"
	"io"
	"strconv"
	"strings"
)

// node is a task, a context type, a provider or a supply in the graph.
type node struct {
	id, label, kind string
}

// drawing is the graph of tasks and their needs.
type drawing struct {
	nodes []node
	edges [][2]string
	ids   map[string]string
}

func itoa(n int) string { return strconv.Itoa(n) }

// add returns the id of a node, which it adds the first time.
func (g *drawing) add(kind, label string) (id string, first bool) {
	key := kind + " " + label
	if id := g.ids[key]; id != "" {
		return id, false
	}
	id = "n" + itoa(len(g.nodes)+1)
	g.ids[key] = id
	g.nodes = append(g.nodes, node{id, label, kind})
	return id, true
}

func (g *drawing) edge(from, to string) {
	for _, e := range g.edges {
		if e == [2]string{from, to} {
			return
		}
	}
	g.edges = append(g.edges, [2]string{from, to})
}

func draw(res *Result) *drawing {
	g := &drawing{ids: map[string]string{}}
	for _, p := range res.Packages {
		for _, t := range p.Tasks {
			id, _ := g.add("task", t.Name)
			if n := contextNamed(t.Context); n != nil {
				to, _ := g.add("context", n.Obj().Pkg().Name()+"."+n.Obj().Name())
				g.edge(id, to)
			}
			if t.Receiver != nil {
				g.value(p, id, *t.Receiver)
			}
		}
		for _, c := range p.Contexts {
			g.context(p, c)
		}
	}
	return g
}

func (g *drawing) context(p *Package, c *ContextType) {
	id, _ := g.add("context", p.Name+"."+c.Name)
	if c.By != nil {
		g.value(p, id, Value{Source: FromProvider, Provider: c.By})
	}
	for _, f := range c.Fields {
		g.value(p, id, f.Value)
	}
}

// value draws the source of a value.
func (g *drawing) value(p *Package, from string, v Value) {
	switch v.Source {
	case FromContext, FromForeign:
		n := contextNamed(v.Type)
		to, _ := g.add("context", n.Obj().Pkg().Name()+"."+n.Obj().Name())
		g.edge(from, to)
	case FromSupply:
		to, _ := g.add("supply", types.TypeString(v.Type, (*types.Package).Name))
		g.edge(from, to)
	case FromProvider:
		to, first := g.add("provider", p.Name+"."+v.Provider.Func+" ("+v.Provider.Scope+")")
		g.edge(from, to)
		if first {
			for _, param := range v.Provider.Params {
				g.value(p, to, param)
			}
		}
	}
}

var dotShapes = map[string]string{"task": "box", "context": "ellipse", "provider": "component", "supply": "cylinder"}

// WriteDOT writes the graph of tasks, contexts, providers and supplies for
// Graphviz.
func WriteDOT(w io.Writer, res *Result) error {
	g := draw(res)
	var b strings.Builder
	b.WriteString("digraph tasks {\n\trankdir=LR;\n")
	for _, n := range g.nodes {
		fmt.Fprintf(&b, "\t%s [label=%s shape=%s];\n", n.id, strconv.Quote(n.label), dotShapes[n.kind])
	}
	for _, e := range g.edges {
		fmt.Fprintf(&b, "\t%s -> %s;\n", e[0], e[1])
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

var mermaidShapes = map[string][2]string{
	"task": {"[", "]"}, "context": {"([", "])"}, "provider": {"[[", "]]"}, "supply": {"[(", ")]"},
}

// WriteMermaid writes the same graph for Mermaid.
func WriteMermaid(w io.Writer, res *Result) error {
	g := draw(res)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range g.nodes {
		label := strings.NewReplacer(`"`, "#quot;", "\n", " ").Replace(n.label)
		fmt.Fprintf(&b, "\t%s%s\"%s\"%s\n", n.id, mermaidShapes[n.kind][0], label, mermaidShapes[n.kind][1])
	}
	for _, e := range g.edges {
		fmt.Fprintf(&b, "\t%s --> %s\n", e[0], e[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}
