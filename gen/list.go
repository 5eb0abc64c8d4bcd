package gen

import (
	"encoding/json"
	"go/types"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/taskctx/taskctx/gen/diag"
)

// Listed is a task as "taskgen list" shows it.
type Listed struct {
	Name      string   `json:"name"`
	Aliases   []string `json:"aliases,omitempty"`
	Package   string   `json:"package"`
	Func      string   `json:"func"`
	Signature string   `json:"signature"`
	Durable   bool     `json:"durable,omitempty"`
	Queue     string   `json:"queue"`
	Retries   int      `json:"retries"`
	Context   string   `json:"context"`
	Needs     []string `json:"needs,omitempty"`
	File      string   `json:"file"`
	Line      int      `json:"line"`
}

// List returns the tasks of the packages, in the order of the source, with file
// names relative to dir.
func List(res *Result, dir string) []Listed {
	list := []Listed{}
	for _, p := range res.Packages {
		for _, t := range p.Tasks {
			pos := p.at(t.obj.Pos())
			l := Listed{
				Name: t.Name, Aliases: t.Aliases, Package: p.Path, Func: t.Func,
				Signature: strings.TrimPrefix(p.typeName(t.obj.Type()), "func"),
				Durable:   t.Durable,
				Queue:     t.Queue, Retries: t.Retries, Context: p.typeName(t.Context),
				File: diag.Rel(pos.Filename, dir), Line: pos.Line,
			}
			if l.Queue == "" {
				l.Queue = "default"
			}
			l.Needs = p.needsOf(res, t)
			list = append(list, l)
		}
	}
	return list
}

// needsOf returns the needs of the task's context, each once: supplies, also
// by contexts of other packages that were read, and the contexts of those that
// were not.
func (p *Package) needsOf(res *Result, t *Task) []string {
	var needs []string
	add := func(typ types.Type) {
		if name := p.typeName(typ); !slices.Contains(needs, name) {
			needs = append(needs, name)
		}
	}
	var visit func(typ types.Type)
	visit = func(typ types.Type) {
		named := contextNamed(typ)
		if named == nil {
			return
		}
		c := res.contextOf(named)
		if c == nil {
			add(typ)
			return
		}
		for _, n := range c.Needs {
			if n.Context {
				visit(n.Type)
			} else {
				add(n.Type)
			}
		}
	}
	visit(t.Context)
	if t.Receiver != nil {
		for _, n := range needsOf(*t.Receiver) {
			add(n.Type)
		}
	}
	return needs
}

// contextOf returns the context type in the packages that were read, or nil.
func (res *Result) contextOf(named *types.Named) *ContextType {
	for _, p := range res.Packages {
		for _, c := range p.Contexts {
			if p.Path == named.Obj().Pkg().Path() && c.Name == named.Obj().Name() {
				return c
			}
		}
	}
	return nil
}

// WriteList writes the tasks as a table.
func WriteList(w io.Writer, res *Result) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(cells ...string) { _, _ = io.WriteString(tw, strings.Join(cells, "\t")+"\n") } // Flush returns the error
	row("NAME", "QUEUE", "RETRIES", "CONTEXT", "NEEDS", "SIGNATURE")
	for _, l := range List(res, "") {
		row(l.Name, l.Queue, itoa(l.Retries), l.Context, strings.Join(l.Needs, ", "), l.Func+l.Signature)
	}
	return tw.Flush()
}

// WriteListJSON writes the tasks as a JSON array, with file names relative to
// dir.
func WriteListJSON(w io.Writer, res *Result, dir string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	return enc.Encode(List(res, dir))
}
