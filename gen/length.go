package gen

import (
	"go/ast"
	"go/token"
	"go/types"
	"strconv"

	"github.com/taskctx/taskctx/gen/buildtag"
	"github.com/taskctx/taskctx/gen/load"
)

// constants finds out whether an expression may have another value in another
// build with the generated file.
type constants struct {
	pkg   *Package
	known map[*types.Package]map[string][]valueDecl
}

// valueDecl is a declaration of a constant, a variable or a type.
type valueDecl struct {
	in    *load.Other
	typ   ast.Expr // nil if there is none
	value ast.Expr // nil if there is none
}

func constantsOf(p *Package) *constants {
	return &constants{pkg: p, known: map[*types.Package]map[string][]valueDecl{}}
}

// maxConstants bounds how many constants a value leads through.
const maxConstants = 20

// varies reports whether an expression of a file of pkg may have another value in
// another build.
func (c *constants) varies(pkg *types.Package, file *ast.File, expr ast.Expr, depth int) bool {
	if depth > maxConstants {
		return true
	}
	vary := func(list ...ast.Expr) bool {
		for _, e := range list {
			if e != nil && c.varies(pkg, file, e, depth+1) {
				return true
			}
		}
		return false
	}
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return vary(e.X)
	case *ast.UnaryExpr:
		return vary(e.X)
	case *ast.StarExpr:
		return vary(e.X)
	case *ast.BinaryExpr:
		return vary(e.X, e.Y)
	case *ast.IndexExpr:
		return vary(e.X, e.Index)
	case *ast.ArrayType:
		return vary(e.Len)
	case *ast.CompositeLit:
		return vary(e.Type)
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok && (id.Name == "int" || id.Name == "uint" || id.Name == "uintptr") {
			return true
		}
		return vary(e.Fun) || vary(e.Args...)
	case *ast.SelectorExpr:
		return c.selected(pkg, file, e, depth)
	case *ast.Ident:
		if len(c.declarations(pkg)[e.Name]) > 0 {
			return c.named(pkg, e.Name, depth)
		}
		if from := dotImported(file, pkg, e.Name); from != nil {
			return c.named(from, e.Name, depth)
		}
	}
	return false
}

// selected is varies for a name of another package, or a field.
func (c *constants) selected(pkg *types.Package, file *ast.File, e *ast.SelectorExpr, depth int) bool {
	if id, ok := e.X.(*ast.Ident); !ok || importPath(file, pkg, id.Name) == "" {
		return c.varies(pkg, file, e.X, depth+1)
	}
	from := imported(file, pkg, e)
	return from == nil || from == types.Unsafe || c.named(from, e.Sel.Name, depth)
}

// named is varies for a name that a package declares.
func (c *constants) named(pkg *types.Package, name string, depth int) bool {
	if obj := pkg.Scope().Lookup(name); obj != nil && c.pkg.ofSystem(obj) {
		return true // without a look at all its files
	}
	decls := c.declarations(pkg)[name]
	if len(decls) != 1 || !buildtag.Implies(c.pkg.here(decls[0].in.Constraint), decls[0].in.Constraint) {
		return len(decls) > 0
	}
	d := decls[0]
	for _, e := range []ast.Expr{d.typ, d.value} {
		if e != nil && c.varies(pkg, d.in.Tree, e, depth+1) {
			return true
		}
	}
	return false
}

// declarations returns the constants, variables and types of a package, in the
// files of any build, by name.
func (c *constants) declarations(pkg *types.Package) map[string][]valueDecl {
	all, done := c.known[pkg]
	if done {
		return all
	}
	all = map[string][]valueDecl{}
	c.known[pkg] = all
	for _, f := range c.files(pkg) {
		for _, decl := range f.Tree.Decls {
			if g, ok := decl.(*ast.GenDecl); ok {
				addValues(all, f, g)
			}
		}
	}
	return all
}

func (c *constants) files(pkg *types.Package) []*load.Other {
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Pos().IsValid() {
			return c.pkg.loader.Siblings(obj)
		}
	}
	return nil
}

// addValues adds the names of a declaration. A constant without a value repeats
// the one before it.
func addValues(all map[string][]valueDecl, in *load.Other, g *ast.GenDecl) {
	var typ ast.Expr
	var values []ast.Expr
	for _, spec := range g.Specs {
		if s, ok := spec.(*ast.TypeSpec); ok {
			all[s.Name.Name] = append(all[s.Name.Name], valueDecl{in: in, typ: s.Type})
		}
		s, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		if g.Tok == token.VAR || len(s.Values) > 0 {
			typ, values = s.Type, s.Values
		}
		for i, id := range s.Names {
			d := valueDecl{in: in, typ: typ}
			if i < len(values) {
				d.value = values[i]
			}
			all[id.Name] = append(all[id.Name], d)
		}
	}
}

// imported returns the package of a selector in a file of pkg, nil if it is none.
func imported(file *ast.File, pkg *types.Package, e *ast.SelectorExpr) *types.Package {
	id, ok := e.X.(*ast.Ident)
	if !ok {
		return nil
	}
	return byPath(pkg, importPath(file, pkg, id.Name))
}

// importPath returns the path of the import that a file of pkg refers to by the
// name, "" if it has none.
func importPath(file *ast.File, pkg *types.Package, name string) string {
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if spec.Name != nil {
			if spec.Name.Name == name {
				return path
			}
			continue
		}
		if of := byPath(pkg, path); of != nil && of.Name() == name || of == nil && assumedName(path) == name {
			return path
		}
	}
	return ""
}

// byPath returns a package that pkg imports, nil if it does not.
func byPath(pkg *types.Package, path string) *types.Package {
	if path == "unsafe" {
		return types.Unsafe
	}
	for _, other := range pkg.Imports() {
		if other.Path() == path {
			return other
		}
	}
	return nil
}

// dotImported returns the package whose name the file has by a dot import, or nil.
func dotImported(file *ast.File, pkg *types.Package, name string) *types.Package {
	for _, spec := range file.Imports {
		if spec.Name == nil || spec.Name.Name != "." {
			continue
		}
		path, _ := strconv.Unquote(spec.Path.Value) // a bad path does not load
		if from := byPath(pkg, path); from != nil && token.IsExported(name) && from.Scope().Lookup(name) != nil {
			return from
		}
	}
	return nil
}
