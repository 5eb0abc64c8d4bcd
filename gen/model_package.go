package gen

import (
	"bytes"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/diag"
	"github.com/taskctx/taskctx/gen/load"
)

// modeler makes models, each once.
type modeler struct {
	loader   *load.Loader
	models   map[string]*Package
	builders []*builder
}

// modelAll makes the models of the packages, with the clients of those in the
// directories.
func modelAll(l *load.Loader, pkgs []*load.Package, dirs []string) []*Package {
	m := &modeler{loader: l, models: map[string]*Package{}}
	var all []*Package
	for _, p := range pkgs {
		all = append(all, m.model(p))
	}
	for i := 0; i < len(m.builders); i++ { //nolint:intrange // a client may need one more model, which is added to them
		if b := m.builders[i]; slices.Contains(dirs, b.Dir) {
			b.clients()
		}
	}
	return all
}

// builder makes the model of one package.
type builder struct {
	*Package
	modeler   *modeler
	found     []*annotations.Directive
	elsewhere []elsewhere                         // those of other builds
	docs      map[*ast.FuncDecl]*ast.CommentGroup // where they are not the declaration's own
	files     map[*annotations.Directive]string   // the first of the files that declare it, where that is of another build
	defaults  *annotations.Directive
	clientOf  []*annotations.Directive
	types     map[string]*ast.TypeSpec // the types of the package
	again     map[string]*ast.TypeSpec // their later declarations
	contexts  map[*types.TypeName]*ContextType
	bad       map[*types.TypeName]bool // reported as no context type
	building  map[*types.TypeName]bool // contexts whose fields are being filled
	takers    []taker                  // structs that tasks take and that are none
}

func (m *modeler) model(p *load.Package) *Package {
	if done := m.models[p.Path]; done != nil {
		return done
	}
	b := &builder{
		Package: &Package{Path: p.Path, Name: p.Name, Dir: p.Dir, load: p, loader: m.loader, importOf: m.loader.Import},
		modeler: m, types: map[string]*ast.TypeSpec{}, again: map[string]*ast.TypeSpec{},
		contexts: map[*types.TypeName]*ContextType{}, bad: map[*types.TypeName]bool{},
		building: map[*types.TypeName]bool{}, docs: map[*ast.FuncDecl]*ast.CommentGroup{}, files: map[*annotations.Directive]string{},
	}
	m.models[p.Path] = b.Package
	m.builders = append(m.builders, b)
	b.diags = append(b.diags, p.Problems...)
	b.foreign()
	b.parse()
	if len(p.Problems) > 0 || len(b.found)+len(b.clientOf) == 0 || p.Types == nil {
		return b.Package
	}
	b.parseOthers()
	b.inOrder()
	b.collectTypes()
	for _, d := range b.found {
		if d.Verb == annotations.Provide {
			b.provider(d)
		}
	}
	b.resolveProviders()
	for _, d := range b.found {
		switch {
		case d.Verb == annotations.Context && d.Func != nil:
			b.task(d)
		case d.Verb == annotations.Context && d.Type != nil:
			b.marked(d)
		}
	}
	b.contextless()
	for _, c := range b.Contexts {
		c.needs()
	}
	b.durables()
	b.longTransactions()
	b.constraints()
	b.variants()
	b.systems()
	b.lengths()
	return b.Package
}

// foreign reports a foreign file in the place of the generated one.
func (b *builder) foreign() {
	if b.load.Foreign == nil {
		return
	}
	name := filepath.Join(b.Dir, Output)
	b.diags = append(b.diags, diag.Diagnostic{
		Pos: token.Position{Filename: name, Line: 1, Column: 1}, Code: "foreign-file",
		Message: "taskgen did not write this file: its first line is not " + Header,
		Fix:     "rename it, or delete it if it is a damaged generated file, and run go generate again",
	})
}

// parse reads the directives of all files.
func (b *builder) parse() {
	for _, f := range b.load.Files {
		found, errs := annotations.Parse(f)
		b.annotationErrors(errs)
		for _, d := range found {
			if d.On != annotations.OnPackage {
				b.found = append(b.found, d)
				continue
			}
			if d.Verb == annotations.Client {
				b.clientOf = append(b.clientOf, d)
				continue
			}
			if b.defaults != nil {
				d2 := b.report(d.Slash, d.End, "repeated-directive", "write all defaults in one place",
					"//task:defaults is there twice in package %s", b.Name)
				b.related(d2, b.defaults.Slash, "the first one")
				continue
			}
			b.defaults = d
		}
	}
	for _, f := range b.load.Tests {
		found, errs := annotations.Parse(f)
		b.annotationErrors(errs)
		for _, d := range found {
			b.report(d.Slash, d.End, "test-file", "move the declaration to a file that is no test",
				"//task:%s in a test file: generated code cannot call it", d.Verb)
		}
	}
}

func (b *builder) annotationErrors(errs []*annotations.Error) {
	for _, e := range errs {
		b.report(e.Pos, e.End, e.Code, e.Hint, "%s", e.Msg)
	}
}

// collectTypes finds the package's type declarations.
func (b *builder) collectTypes() {
	for _, f := range b.load.Files {
		for _, ts := range typeSpecs(f) {
			switch {
			case ts.Name.Name == "_":
			case b.types[ts.Name.Name] == nil:
				b.types[ts.Name.Name] = ts
			default:
				b.again[ts.Name.Name] = ts
			}
		}
	}
}

// typeSpecs returns the type declarations of a file.
func typeSpecs(f *ast.File) (list []*ast.TypeSpec) {
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			list = append(list, s.(*ast.TypeSpec))
		}
	}
	return list
}

// object returns the package-level object of that name, or nil.
func (b *builder) object(name string) types.Object { return b.load.Types.Scope().Lookup(name) }

// upperFirst returns the name with its first letter in upper case.
func upperFirst(name string) string {
	r := bytes.Runes([]byte(name))
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}

// lowerFirst returns the name with its first word in lower case: "HTTPGet"
// gives "httpGet".
func lowerFirst(name string) string {
	r := []rune(name)
	i := 0
	for i < len(r) && string(r[i]) != strings.ToLower(string(r[i])) {
		i++
	}
	if i > 1 && i < len(r) {
		i--
	}
	return strings.ToLower(string(r[:max(i, 1)])) + string(r[max(i, 1):])
}
