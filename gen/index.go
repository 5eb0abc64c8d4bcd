package gen

import (
	"fmt"
	"go/token"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/diag"
	"github.com/taskctx/taskctx/gen/load"
)

// wireName is a name under which a function of a module's packages is a task.
type wireName struct {
	Name, Func string
	Explicit   bool // written as name= or alias=
	Alias      bool // an old name of it
	Pos, End   token.Position
}

// served is a name that a package serves.
type served struct {
	wireName
	dir, pkg string
}

func (s served) fn() string { return funcPath(s.pkg, s.Func) }

// index is the names of all tasks of a module, including packages that the run
// is not for: they share a queue.
type index struct {
	loader *load.Loader
	mem    *memory
	root   string   // the module's directory
	whole  bool     // packages without a generated file are in it, too
	dirs   []string // of packages with tasks, in order
	names  []served
	byName map[string][]served
}

// newIndex reads the names of the packages of a module that are asked for, and
// of those that have a generated file. It reads remembered names from the
// memory, others from the directives.
func newIndex(l *load.Loader, mem *memory, root string, asked []string) (*index, error) {
	dirs, err := l.Generated(root)
	if err != nil {
		return nil, err
	}
	idx := &index{loader: l, mem: mem, root: root}
	idx.fill(append(dirs, asked...))
	return idx, nil
}

// complete adds the packages of the module that are not generated yet.
func (idx *index) complete() error {
	if idx.whole {
		return nil
	}
	all, err := idx.loader.Dirs([]string{filepath.Join(idx.root, "...")})
	if err != nil {
		return err
	}
	idx.whole = true
	idx.fill(append(all, idx.dirs...))
	return nil
}

// fill reads the names of the directories' packages.
func (idx *index) fill(dirs []string) {
	dirs = slices.DeleteFunc(dirs, func(dir string) bool { return idx.loader.Root(dir) != idx.root })
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	idx.loader.Read(dirs)
	idx.dirs, idx.names, idx.byName = nil, nil, map[string][]served{}
	for _, dir := range dirs {
		names, pkg := idx.mem.namesOf(dir)
		if len(names) == 0 {
			continue
		}
		idx.dirs = append(idx.dirs, dir)
		for _, n := range names {
			s := served{n, dir, pkg}
			idx.names = append(idx.names, s)
			idx.byName[n.Name] = append(idx.byName[n.Name], s)
		}
	}
}

// namesOf returns the names that the package of a directory serves, and its
// import path.
func (m *memory) namesOf(dir string) (names []wireName, pkg string) {
	if e := m.entries[dir]; e != nil {
		if i := slices.IndexFunc(e.Sources, func(s load.Source) bool { return s.Own }); i >= 0 && m.loader.Same(e.Sources[i]) {
			return e.Names, e.Sources[i].Path
		}
	}
	p := m.loader.InDir(dir)
	if p == nil {
		return nil, ""
	}
	return wireNames(p), p.Path
}

// wireNames returns the names that the directives of a package give.
func wireNames(p *load.Package) (names []wireName) {
	for _, f := range p.Files {
		found, _ := annotations.Parse(f)
		for _, d := range found {
			if d.Func == nil || d.Verb != annotations.Context {
				continue
			}
			id := d.Func.Name
			n := wireName{Func: funcName(d.Func)}
			n.Name = taskName(p.Name, p.Path, n.Func)
			n.Pos, n.End = p.Fset.Position(id.Pos()), p.Fset.Position(id.End())
			add := func(a *annotations.Arg) {
				n.Name, n.Explicit, n.Pos, n.End = a.Value, true, p.Fset.Position(a.Pos), p.Fset.Position(a.End)
			}
			if a := d.Arg("name"); a != nil {
				add(a)
			}
			names = append(names, n)
			for _, a := range d.All("alias") {
				add(&a)
				n.Alias = true
				names = append(names, n)
			}
		}
	}
	return names
}

// clashes reports the names of packages asked for that another package of the
// module serves too: a worker of one would run the tasks of the other.
func (idx *index) clashes(asked []string) (diags []diag.Diagnostic) {
	for _, s := range idx.names {
		if !slices.Contains(asked, s.dir) {
			continue
		}
		var others []diag.Related
		var other served
		for _, o := range idx.byName[s.Name] {
			if o.pkg == s.pkg {
				continue
			}
			if len(others) == 0 {
				other = o
			}
			others = append(others, diag.Related{Pos: o.Pos, Message: o.fn()})
		}
		if len(others) == 0 {
			continue
		}
		diags = append(diags, diag.Diagnostic{
			Pos: s.Pos, End: s.End, Code: "duplicate-name",
			Message: fmt.Sprintf("tasks of two packages are called %q, and a worker of one would run those of the other: %s and %s",
				s.Name, s.fn(), other.fn()),
			Fix:     otherName(s.Name, s.claim(), other.claim()),
			Related: others,
		})
	}
	return diags
}

// claim is a task that serves a name.
type claim struct {
	fn    string
	alias bool   // the name is an old one of its
	long  string // a name that it may have instead
}

func (s served) claim() claim { return claim{s.fn(), s.Alias, longName(s)} }

// otherName proposes what to do about two tasks that serve one name.
func otherName(name string, a, b claim) string {
	switch {
	case a.alias && b.alias:
		return "leave alias=" + name + " out of one of them: the tasks that were called so are run by one function"
	case a.alias || b.alias:
		if b.alias {
			a, b = b, a
		}
		return "leave alias=" + name + " out of " + a.fn +
			"\nor, if that takes the place of " + b.fn + ", give the latter another name: name=" + b.long
	}
	return "write name= on one of them: name=" + a.long
}

// longName proposes a name that differs from that of a task of another package
// with the same name.
func longName(s served) string {
	parts := strings.Split(s.pkg, "/")
	parts = parts[max(0, len(parts)-2):]
	return strings.Join(append(parts, s.Func), ".")
}

// owner reports whether a run for these directories reports mistakes that
// belong to no package: of several runs, one for each package, one does.
func (idx *index) owner(asked []string) bool {
	return len(idx.dirs) == 0 || slices.Contains(asked, idx.dirs[0])
}

// has reports whether a function is a task.
func (idx *index) has(fn string) bool {
	return slices.ContainsFunc(idx.names, func(s served) bool { return s.fn() == fn })
}

// indexes returns the index of each main module that the directories belong to,
// by its root.
func indexes(l *load.Loader, mem *memory, asked []string) (map[string]*index, error) {
	all := map[string]*index{}
	for _, dir := range asked {
		root := l.Root(dir)
		if root == "" || all[root] != nil {
			continue
		}
		idx, err := newIndex(l, mem, root, asked)
		if err != nil {
			return nil, err
		}
		all[root] = idx
	}
	return all, nil
}
