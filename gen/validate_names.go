package gen

import (
	"go/ast"
	"go/build/constraint"
	"go/token"
	"strconv"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/buildtag"
)

// declaredFile is a file of a package whose names share its package block: in
// this build, in another, or in a test.
type declaredFile struct {
	tree       *ast.File
	constraint constraint.Expr
	external   bool // a test from outside
	built      bool // in this build
}

// declaredFiles returns all files of a package.
func (p *Package) declaredFiles() []declaredFile {
	var list []declaredFile
	for _, f := range p.load.Files {
		list = append(list, declaredFile{tree: f, built: true})
	}
	for _, o := range p.load.Others {
		list = append(list, declaredFile{tree: o.Tree, constraint: o.Constraint, external: o.Tree.Name.Name != p.Name})
	}
	return list
}

// beside reports whether any build has both the file and the generated one.
func (p *Package) beside(f declaredFile) bool {
	return f.built || buildtag.Possible(buildtag.And(p.builds, f.constraint))
}

// exportedName is a generated exported name, with the place to report a clash.
type exportedName struct {
	name     string
	of       string // the function, "" for the package
	pos, end token.Pos
}

func (p *Package) exportedNames() []exportedName {
	var list []exportedName
	if p.serves() {
		list = append(list, exportedName{name: registerName})
	}
	if len(p.Clients) > 0 {
		list = append(list, exportedName{name: registerClientName})
	}
	for _, c := range p.Clients {
		for _, t := range c.Tasks {
			for _, name := range t.exportedNames() {
				list = append(list, exportedName{name, t.Func, c.directive.Slash, c.directive.End})
			}
		}
	}
	for _, t := range p.Tasks {
		id := t.directive.Func.Name
		for _, name := range t.exportedNames() {
			list = append(list, exportedName{name, t.Func, id.Pos(), id.End()})
		}
	}
	return list
}

// validateDeclared reports generated exported names that the package declares
// already, in any build, that an import brings or has, or that two tasks would
// share.
func validateDeclared(p *Package) {
	names := p.exportedNames()
	first := map[string]*Task{}
	for _, t := range p.enqueued() {
		for _, name := range t.exportedNames() {
			if other := first[name]; other != nil {
				p.clash(name, other, t)
			}
			first[name] = t
		}
	}
	clashed := map[string]bool{}
	for _, f := range p.declaredFiles() {
		if !p.beside(f) {
			continue
		}
		if !f.external {
			p.clashes(names, declaredNames(f.tree), clashed)
		}
		p.importClashes(f, names)
	}
}

// clash reports a name that two tasks would share.
func (p *Package) clash(name string, first, second *Task) {
	id := second.directive.Func.Name
	pos, end, fix := id.Pos(), id.End(), "rename one of the functions"
	if c := second.client; c != nil {
		pos, end, fix = c.directive.Slash, c.directive.End, "leave one of them out with skip=, or make a client in another package"
	}
	d := p.report(pos, end, "name-clash", fix, "%s would be generated for both %s and %s", name, first.Func, second.Func)
	p.related(d, first.directive.Func.Name.Pos(), "%s", first.Func)
}

// clashes reports the names that a file declares.
func (p *Package) clashes(names []exportedName, declared map[string]token.Pos, clashed map[string]bool) {
	for _, n := range names {
		pos, ok := declared[n.name]
		switch {
		case !ok || clashed[n.name+" "+n.of]:
		case n.of == "":
			p.report(pos, pos+posLen(n.name), "name-clash", "rename it",
				"%s is generated for the package, and is declared already", n.name)
		default:
			d := p.report(n.pos, n.end, "name-clash", "rename one of them",
				"%s would be generated for %s, and is declared already", n.name, n.of)
			p.related(d, pos, "%s", n.name)
		}
		clashed[n.name+" "+n.of] = clashed[n.name+" "+n.of] || ok
	}
}

// importClashes reports clashes with the names of a file's imports, and those
// they bring into it.
func (p *Package) importClashes(f declaredFile, names []exportedName) {
	for _, s := range f.tree.Imports {
		path, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			continue
		}
		dot := s.Name != nil && s.Name.Name == "."
		if f.external {
			// A test from outside clashes where it takes our names for its
			// own.
			if dot && path == p.Path {
				p.clashes(names, declaredNames(f.tree), map[string]bool{})
			}
			continue
		}
		for _, n := range names {
			what := n.of
			if what == "" {
				what = "the package"
			}
			if dot && p.brings(path, n.name) {
				p.report(s.Pos(), s.End(), "name-clash", "import it by its name",
					"%s is generated for %s, and this import brings another %s into the file", n.name, what, n.name)
				break // one report for an import is enough
			}
			if s.Name != nil && s.Name.Name == n.name {
				p.report(s.Name.Pos(), s.Name.End(), "name-clash", "give the import another name",
					"%s is generated for %s, and this import is called so", n.name, what)
			}
		}
	}
}

// brings reports whether a package has an exported name, generated ones
// included.
func (p *Package) brings(path, name string) bool {
	for _, imp := range p.load.Types.Imports() {
		if imp.Path() == path && imp.Scope().Lookup(name) != nil {
			return true
		}
	}
	src := p.importOf(path)
	if src == nil {
		return false
	}
	for _, f := range src.Files {
		if _, ok := declaredNames(f)[name]; ok {
			return true
		}
		found, _ := annotations.Parse(f)
		for _, d := range found {
			if name == registerName {
				return true
			}
			if d.Func == nil || d.Verb != annotations.Context {
				continue
			}
			t := Task{Func: funcName(d.Func)}
			for _, n := range t.exportedNames() {
				if n == name {
					return true
				}
			}
		}
	}
	return false
}

// declaredNames returns the package-level names of a file, with where they are
// declared.
func declaredNames(f *ast.File) map[string]token.Pos {
	names := map[string]token.Pos{}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name != "init" {
				names[d.Name.Name] = d.Name.Pos()
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = s.Name.Pos()
				case *ast.ValueSpec:
					for _, id := range s.Names {
						names[id.Name] = id.Pos()
					}
				}
			}
		}
	}
	delete(names, "_")
	return names
}
