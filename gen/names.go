package gen

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const registerName = "RegisterTasks"

// names are the names that generated code gives to its declarations, chosen to
// clash with nothing in the package.
type names struct {
	taken   map[string]bool // at package level
	pkgs    map[string]bool // the names that imports have or may get
	imports map[string]string
	prefer  map[string]string // the name by which the user imports a path

	tasks     map[*Task]taskNames
	contexts  map[*ContextType]string // the constructor
	providers map[*Provider]providerNames
	tables    []taskTable
}

// taskTable is the variable that lists the functions with one type of context, nil
// for the runtime's.
type taskTable struct {
	name    string
	context types.Type
	tasks   []*Task
}

type taskNames struct{ enqueue, call, name, args, task string }

type providerNames struct{ provide, key string }

func newNames(p *Package) *names {
	n := &names{
		taken: map[string]bool{}, pkgs: map[string]bool{}, imports: map[string]string{},
		tasks: map[*Task]taskNames{}, contexts: map[*ContextType]string{}, providers: map[*Provider]providerNames{},
		prefer: map[string]string{},
	}
	for _, f := range p.declaredFiles() {
		if f.external {
			continue
		}
		for name := range declaredNames(f.tree) {
			n.taken[name] = true
		}
		if f.built {
			n.preferred(f.tree)
		}
		n.imported(f.tree)
	}
	n.packages(p)
	if len(p.Clients) > 0 {
		n.taken[registerClientName] = true
	}
	if p.serves() {
		n.taken[registerName] = true
	}
	for _, t := range p.enqueued() {
		for _, name := range t.exportedNames() {
			n.taken[name] = true
		}
	}
	for _, t := range p.enqueued() {
		params := map[string]bool{}
		for _, param := range t.Params {
			params[param.Name] = true
		}
		exported := t.exportedNames()
		base := lowerFirst(ident(t.Func))
		n.tasks[t] = taskNames{
			enqueue: exported[0], call: exported[1], name: exported[2],
			args: n.global(base+"Args", params), task: n.global(base+"Task", params),
		}
	}
	for _, c := range p.Contexts {
		n.contexts[c] = n.global("new"+upperFirst(c.Name), nil)
	}
	for _, pr := range p.Providers {
		n.providers[pr] = providerNames{
			provide: n.global("provide"+upperFirst(ident(pr.Func)), nil), key: n.global(lowerFirst(ident(pr.Func))+"Key", nil),
		}
	}
	for _, t := range p.Tasks {
		if t.Receiver == nil {
			n.table(t)
		}
	}
	return n
}

// packages notes the names of packages that the generated file may import.
func (n *names) packages(p *Package) {
	for _, name := range []string{"context", "time", "glue", "runtime", "wire"} {
		n.pkgs[name] = true
	}
	for _, imp := range p.load.Types.Imports() {
		n.pkgs[imp.Name()] = true
	}
	for _, c := range p.Clients {
		for _, imp := range c.Of.load.Types.Imports() {
			n.pkgs[imp.Name()] = true
		}
	}
}

// table adds a function to the table for its type of context.
func (n *names) table(t *Task) {
	i := slices.IndexFunc(n.tables, func(old taskTable) bool {
		return old.context == nil && t.Context == nil ||
			old.context != nil && t.Context != nil && types.Identical(old.context, t.Context)
	})
	if i < 0 {
		base := "runtime"
		if p, ok := types.Unalias(t.Context).(*types.Pointer); ok && t.Context != nil {
			base = lowerFirst(nameOf(p.Elem()))
		} else if t.Context != nil {
			base = "context"
		}
		i, n.tables = len(n.tables), append(n.tables, taskTable{name: n.global(base+"Tasks", nil), context: t.Context})
	}
	n.tables[i].tasks = append(n.tables[i].tasks, t)
}

// nameOf returns the name of a type, "own" if it has none.
func nameOf(t types.Type) string {
	if n, ok := types.Unalias(t).(*types.Named); ok {
		return n.Obj().Name()
	}
	return "own"
}

// preferred takes over the user's names of imports.
func (n *names) preferred(f *ast.File) {
	for _, s := range f.Imports {
		if s.Name == nil || s.Name.Name == "_" || s.Name.Name == "." {
			continue
		}
		if imp, err := strconv.Unquote(s.Path.Value); err == nil && n.prefer[imp] == "" {
			n.prefer[imp] = s.Name.Name
			n.pkgs[s.Name.Name] = true
		}
	}
}

// imported reserves the names of a file's imports: no package-level name of
// any file may be one of them.
func (n *names) imported(f *ast.File) {
	for _, s := range f.Imports {
		if path, err := strconv.Unquote(s.Path.Value); err == nil {
			for _, name := range importNames(s, path) {
				n.pkgs[name] = true
			}
		}
	}
}

// global returns a package-level name like the given one that is free and not
// in avoid, and takes it.
func (n *names) global(name string, avoid map[string]bool) string {
	name = unique(name, func(s string) bool { return n.taken[s] || n.pkgs[s] || avoid[s] })
	n.taken[name] = true
	return name
}

// scope is a set of names inside a function.
type scope struct {
	n    *names
	used map[string]bool
}

func (n *names) local() *scope { return &scope{n: n, used: map[string]bool{}} }

// use takes a name as it is.
func (s *scope) use(name string) { s.used[name] = true }

// pick returns a name like the given one that hides nothing, and takes it.
func (s *scope) pick(name string) string {
	name = unique(name, func(c string) bool { return s.used[c] || s.n.taken[c] || s.n.pkgs[c] })
	s.used[name] = true
	return name
}

// beside returns a name like the given one that is not used in this function,
// though it may hide a package-level name, and takes it.
func (s *scope) beside(name string) string {
	name = unique(name, func(c string) bool { return s.used[c] })
	s.used[name] = true
	return name
}

// unique returns the name, or one like it, that is free and no word of Go.
func unique(name string, taken func(string) bool) string {
	bad := func(s string) bool {
		return taken(s) || token.IsKeyword(s) || s == "init" || types.Universe.Lookup(s) != nil
	}
	if !bad(name) {
		return name
	}
	if v := name + "Value"; !strings.HasSuffix(name, "Value") && !bad(v) && !strings.HasSuffix(name, "Task") &&
		!strings.HasSuffix(name, "Args") && unicode.IsLower([]rune(name)[0]) && len(name) > 1 {
		return v
	}
	for i := 2; ; i++ {
		if s := name + strconv.Itoa(i); !bad(s) {
			return s
		}
	}
}

// importName returns the name by which the file imports a package, and whether
// it must be written out.
func (n *names) importName(pkg *types.Package) (name string, alias bool) {
	name = n.imports[pkg.Path()]
	if name == "" {
		used := slices.Collect(maps.Values(n.imports))
		free := func(s string) bool { return !n.taken[s] && !slices.Contains(used, s) && !token.IsKeyword(s) }
		base := pkg.Name()
		if own := n.prefer[pkg.Path()]; own != "" {
			base = own
		}
		name = base
		for i := 2; !free(name); i++ {
			name = base + strconv.Itoa(i)
		}
		n.imports[pkg.Path()] = name
	}
	return name, name != assumedName(pkg.Path())
}

// assumedName returns the name that a reader assumes for an import path's
// package, as goimports does.
func assumedName(imp string) string {
	base := path.Base(imp)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		if dir := path.Dir(imp); dir != "." {
			base = path.Base(dir)
		}
	}
	base = strings.TrimPrefix(base, "go-")
	if i := strings.IndexFunc(base, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }); i >= 0 {
		base = base[:i]
	}
	return base
}
