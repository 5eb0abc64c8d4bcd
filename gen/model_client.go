package gen

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/load"
)

// Client is what a package has to enqueue another's tasks, which it does not
// import.
type Client struct {
	Of    *Package
	Tasks []*Task

	directive *annotations.Directive
}

// clientDirs returns the directories of the packages that packages in these
// directories are clients of. It looks no further than package clauses: what is
// wrong is reported with the model.
func clientDirs(l *load.Loader, dirs []string) []string {
	var of []string
	for _, dir := range dirs {
		for _, f := range l.Clauses(dir, annotations.Tool+":"+annotations.Client) {
			found, _ := annotations.Parse(f)
			for _, d := range found {
				if d.Verb != annotations.Client {
					continue
				}
				at, _ := l.Find(dir, d.Arg("of").Value)
				if at != "" && !slices.Contains(dirs, at) && !slices.Contains(of, at) {
					of = append(of, at)
				}
			}
		}
	}
	return of
}

// clients adds the package's clients, when all packages have their models.
func (b *builder) clients() {
	for _, d := range b.clientOf {
		if b.load.Types == nil || len(b.load.Problems) > 0 {
			return
		}
		if c := b.client(d); c != nil {
			b.Clients = append(b.Clients, c)
		}
	}
}

// client returns the client of a directive, nil if it has mistakes, or if there is
// nothing to say of a package with mistakes.
func (b *builder) client(d *annotations.Directive) *Client {
	of := b.clientPackage(d)
	if of == nil || len(of.diags) > 0 {
		return nil
	}
	a := d.Arg("of")
	for _, other := range b.Clients {
		if other.Of == of {
			e := b.report(a.Pos, a.End, "repeated-value", "leave one out", "the package is a client of %s already", of.Path)
			b.related(e, other.directive.Slash, "here")
			return nil
		}
	}
	if len(of.Tasks) == 0 && of.load.Elsewhere {
		b.elsewhereTasks = true // those of another build: the file stays as it is
		return nil
	}
	c := &Client{Of: of, directive: d}
	skip := b.skipped(c)
	before := len(b.diags)
	reach := newReach(b, of)
	for _, s := range b.imports() {
		if path, _ := strconv.Unquote(s.Path.Value); reach.leadsTo(path, of.Path) {
			b.report(s.Pos(), s.End(), "client-links", "let one of them be a package of its own",
				"a client of %s is for programs without it, and this import links it", of.Path)
		}
	}
	for _, t := range of.Tasks {
		if slices.Contains(skip, t.Func) {
			continue
		}
		reach.task(t)
		mine := *t
		mine.client = c
		c.Tasks = append(c.Tasks, &mine)
	}
	if len(b.diags) > before {
		return nil
	}
	if len(c.Tasks) == 0 {
		b.report(d.Slash, d.End, "client-package", "", "package %s has no task that is not left out", of.Path)
		return nil
	}
	return c
}

// clientPackage returns the package that a client is for, or nil.
func (b *builder) clientPackage(d *annotations.Directive) *Package {
	a := d.Arg("of")
	bad := func(fix, format string, args ...any) *Package {
		b.report(a.Pos, a.End, "client-package", fix, format, args...)
		return nil
	}
	dir, path := b.modeler.loader.Find(b.Dir, a.Value)
	switch {
	case dir == "" && !strings.HasPrefix(a.Value, ".") && !b.modeler.loader.Covers(a.Value):
		return bad("ask its owners for a client in their module, or have both modules in one go.work",
			"%s is of another module", a.Value)
	case dir == "":
		return bad("", "there is no package %s", a.Value)
	case path == b.Path:
		return bad("leave the directive out", "the package has the Enqueue functions of its own tasks")
	}
	src := b.modeler.loader.Source(path)
	if src == nil {
		return bad("write //task:context above the functions that are tasks", "package %s has no tasks", path)
	}
	b.load.Uses(path)
	of := b.modeler.model(src)
	if len(of.Tasks) == 0 && len(of.diags) == 0 && !src.Elsewhere {
		return bad("write //task:context above the functions that are tasks", "package %s has no tasks", path)
	}
	return of
}

// skipped returns the functions that the directive leaves out.
func (b *builder) skipped(c *Client) (skip []string) {
	a := c.directive.Arg("skip")
	if a == nil {
		return nil
	}
	var all []string
	for _, t := range c.Of.Tasks {
		all = append(all, t.Func)
	}
	for _, item := range a.Items() {
		if slices.Contains(all, item.Name) {
			skip = append(skip, item.Name)
			continue
		}
		fix := ""
		if near := annotations.Nearest(item.Name, all); near != "" {
			fix = "did you mean " + near + "?"
		}
		b.report(item.Pos, item.End, "unknown-task", fix, "package %s has no task %s", c.Of.Path, item.Name)
	}
	return skip
}

// imports returns the imports of the package's own files.
func (b *builder) imports() (list []*ast.ImportSpec) {
	for _, f := range b.load.Files {
		list = append(list, f.Imports...)
	}
	return list
}

// reach says which packages a client may name.
type reach struct {
	b    *builder
	of   *Package
	lens map[*types.Array]length
	seen map[string]map[string]bool // the packages of the modules that a package imports, with those that they import
}

func newReach(b *builder, of *Package) *reach {
	return &reach{b: b, of: of, lens: lengthsOf(of), seen: map[string]map[string]bool{}}
}

// leadsTo reports whether a program with the package at path has that at target,
// too.
func (r *reach) leadsTo(path, target string) bool {
	all := r.seen[path]
	if all == nil {
		all = map[string]bool{}
		r.visit(path, all)
		r.seen[path] = all
	}
	return all[target]
}

func (r *reach) visit(path string, all map[string]bool) {
	src := r.b.modeler.loader.Import(path)
	if src == nil || all[path] {
		return
	}
	all[path] = true
	r.b.load.Uses(path)
	for _, f := range src.Files {
		for _, s := range f.Imports {
			if imp, err := strconv.Unquote(s.Path.Value); err == nil {
				r.visit(imp, all)
			}
		}
	}
}

// task reports the types of a task's parameters and result that the client cannot
// name.
func (r *reach) task(t *Task) {
	fn := t.directive.Func
	for i, p := range t.Params {
		expr := r.b.fieldOf(fn, i+1).Type
		r.check(t, p.Type, expr, "the parameter "+p.Name)
	}
	if t.Result != nil && fn.Type.Results != nil {
		r.check(t, t.Result, resultExpr(fn, 0), "the result")
	}
}

func (r *reach) check(t *Task, typ types.Type, at ast.Expr, what string) {
	reason, fix := r.why(typ, map[types.Type]bool{})
	if reason == "" {
		return
	}
	fix += ",\nor leave the task out of the client: skip=" + t.Func
	e := r.b.report(at.Pos(), at.End(), "client-type", fix, "a client of %s cannot have %s of %s: %s",
		r.of.Name, what, t.Func, reason)
	r.b.related(e, r.b.clientAt(r.of), "the client")
}

// clientAt returns the place of the directive for a package.
func (b *builder) clientAt(of *Package) token.Pos {
	for _, d := range b.clientOf {
		if _, path := b.modeler.loader.Find(b.Dir, d.Arg("of").Value); path == of.Path {
			return d.Slash
		}
	}
	return token.NoPos
}

// why says why the client cannot write a type, "" if it can, and what to do.
func (r *reach) why(typ types.Type, seen map[types.Type]bool) (reason, fix string) {
	if seen[typ] {
		return "", ""
	}
	seen[typ] = true
	var parts []types.Type
	switch t := typ.(type) {
	case *types.Alias:
		if obj := t.Obj(); obj.Pkg() == nil || !obj.Exported() || obj.Pkg() == r.of.load.Types {
			return r.why(t.Rhs(), seen)
		}
		if reason, fix := r.object(t.Obj()); reason != "" {
			return reason, fix
		}
		parts = slices.Collect(t.TypeArgs().Types())
	case *types.Named:
		if t.Obj().Pkg() == nil {
			return "", ""
		}
		if reason, fix := r.object(t.Obj()); reason != "" {
			return reason, fix
		}
		parts = slices.Collect(t.TypeArgs().Types())
	case *types.Pointer:
		parts = []types.Type{t.Elem()}
	case *types.Slice:
		parts = []types.Type{t.Elem()}
	case *types.Array:
		if _, varies := r.lens[t]; varies {
			return "the length of its array is not the same on all systems",
				"give the array's type a name in a package that both can import"
		}
		parts = []types.Type{t.Elem()}
	case *types.Map:
		parts = []types.Type{t.Key(), t.Elem()}
	case *types.Struct:
		for f := range t.Fields() {
			if !f.Exported() {
				return "its struct has the field " + f.Name() + ", which only " + r.of.Name + " can set",
					"give the struct a name in a package that both can import"
			}
			parts = append(parts, f.Type())
		}
	}
	for _, p := range parts {
		if reason, fix := r.why(p, seen); reason != "" {
			return reason, fix
		}
	}
	return "", ""
}

// object says why the client cannot name a declared type.
func (r *reach) object(obj *types.TypeName) (reason, fix string) {
	pkg, name := obj.Pkg(), obj.Pkg().Name()+"."+obj.Name()
	fix = "declare " + obj.Name() + " in a package that both can import"
	switch {
	case pkg.Path() == r.of.Path:
		return "its type " + obj.Name() + " is declared beside the task", fix
	case pkg.Path() == r.b.Path:
		return "", ""
	case r.leadsTo(pkg.Path(), r.of.Path):
		return "its type " + name + " is of a package that imports " + r.of.Name, fix
	case r.leadsTo(pkg.Path(), r.b.Path):
		return "its type " + name + " is of a package that imports the client", fix
	case !importable(pkg.Path(), r.b.Path):
		return "its type " + name + " is of a package that is internal to others", fix
	}
	return "", ""
}

// importable reports whether a package may import the one at path, by the rule of
// internal packages.
func importable(path, from string) bool {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == "internal" {
			parent := strings.Join(parts[:i], "/")
			return parent == "" || from == parent || strings.HasPrefix(from, parent+"/")
		}
	}
	return true
}
