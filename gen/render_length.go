package gen

import (
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
	"strings"

	"github.com/dave/jennifer/jen"
)

// lengths finds the lengths of arrays that depend on the platform, as
// bits.UintSize does: generated code repeats them as they are written, so that it
// compiles on each. Other lengths it writes as numbers, which fail to compile
// when a constant changes.
type lengths struct {
	pkg    *Package
	consts map[string]ast.Expr // of the package, by name
	found  map[*types.Array]length
}

// length is how the length of an array is written.
type length struct {
	expr ast.Expr
	file *ast.File
}

func lengthsOf(p *Package) map[*types.Array]length {
	l := &lengths{pkg: p, found: map[*types.Array]length{}}
	for _, t := range p.Tasks {
		l.function(t.directive.Func, t.obj)
	}
	for _, pr := range p.Providers {
		l.function(pr.directive.Func, pr.obj)
	}
	for _, c := range p.Contexts {
		l.declared(c.Name, c.Type)
	}
	return l.found
}

func (l *lengths) fileOf(n ast.Node) *ast.File {
	for _, f := range l.pkg.load.Files {
		if f.FileStart <= n.Pos() && n.Pos() < f.FileEnd {
			return f
		}
	}
	return nil
}

func (l *lengths) function(f *ast.FuncDecl, obj *types.Func) {
	if file := l.fileOf(f); file != nil {
		l.walk(file, f.Type, obj.Signature())
	}
}

func (l *lengths) declared(name string, t *types.Named) {
	for _, file := range l.pkg.load.Files {
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.Name == name {
					l.walk(file, s.Type, t.Underlying())
				}
			}
		}
	}
}

// walk goes through a type and how it is written, side by side.
func (l *lengths) walk(file *ast.File, expr ast.Expr, t types.Type) {
	switch e := expr.(type) {
	case *ast.ParenExpr:
		l.walk(file, e.X, t)
	case *ast.StarExpr:
		if p, ok := t.(*types.Pointer); ok {
			l.walk(file, e.X, p.Elem())
		}
	case *ast.Ellipsis:
		if s, ok := t.(*types.Slice); ok {
			l.walk(file, e.Elt, s.Elem())
		}
	case *ast.ArrayType:
		switch t := t.(type) {
		case *types.Slice:
			l.walk(file, e.Elt, t.Elem())
		case *types.Array:
			if l.varies(file, e.Len, 0) {
				l.found[t] = length{e.Len, file}
			}
			l.walk(file, e.Elt, t.Elem())
		}
	case *ast.MapType:
		if m, ok := t.(*types.Map); ok {
			l.walk(file, e.Key, m.Key())
			l.walk(file, e.Value, m.Elem())
		}
	case *ast.ChanType:
		if c, ok := t.(*types.Chan); ok {
			l.walk(file, e.Value, c.Elem())
		}
	case *ast.FuncType:
		if s, ok := t.(*types.Signature); ok {
			l.list(file, e.Params, s.Params().Len(), func(i int) types.Type { return s.Params().At(i).Type() })
			l.list(file, e.Results, s.Results().Len(), func(i int) types.Type { return s.Results().At(i).Type() })
		}
	case *ast.StructType:
		if s, ok := t.(*types.Struct); ok {
			l.list(file, e.Fields, s.NumFields(), func(i int) types.Type { return s.Field(i).Type() })
		}
	case *ast.IndexExpr:
		l.arguments(file, []ast.Expr{e.Index}, t)
	case *ast.IndexListExpr:
		l.arguments(file, e.Indices, t)
	}
}

func (l *lengths) list(file *ast.File, fields *ast.FieldList, n int, at func(int) types.Type) {
	if fields == nil {
		return
	}
	i := 0
	for _, f := range fields.List {
		for range max(len(f.Names), 1) {
			if i < n {
				l.walk(file, f.Type, at(i))
			}
			i++
		}
	}
}

// arguments walks the type arguments of a generic type.
func (l *lengths) arguments(file *ast.File, exprs []ast.Expr, t types.Type) {
	var args *types.TypeList
	switch t := t.(type) {
	case *types.Named:
		args = t.TypeArgs()
	case *types.Alias:
		args = t.TypeArgs()
	}
	for i, e := range exprs {
		if i < args.Len() {
			l.walk(file, e, args.At(i))
		}
	}
}

// varies reports whether a constant may be another one on another platform.
func (l *lengths) varies(file *ast.File, expr ast.Expr, depth int) bool {
	if depth > 20 {
		return false
	}
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return l.varies(file, e.X, depth)
	case *ast.UnaryExpr:
		return l.varies(file, e.X, depth)
	case *ast.BinaryExpr:
		return l.varies(file, e.X, depth) || l.varies(file, e.Y, depth)
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok && (id.Name == "int" || id.Name == "uint" || id.Name == "uintptr") {
			return true
		}
		return l.varies(file, e.Fun, depth)
	case *ast.SelectorExpr:
		switch pkg := imported(file, l.pkg, e); {
		case pkg == nil:
			return false
		case pkg == types.Unsafe, pkg.Path() == "math/bits" && e.Sel.Name == "UintSize", pkg.Path() == "strconv" && e.Sel.Name == "IntSize":
			return true
		default:
			return pkg.Path() == "syscall" || strings.HasPrefix(pkg.Path(), "golang.org/x/sys/")
		}
	case *ast.Ident:
		if value := l.constant(e.Name); value != nil {
			if f := l.fileOf(value); f != nil {
				return l.varies(f, value, depth+1)
			}
		}
	}
	return false
}

// constant returns how the value of a constant of the package is written, nil if
// it is none.
func (l *lengths) constant(name string) ast.Expr {
	if l.consts == nil {
		l.consts = map[string]ast.Expr{}
		for _, file := range l.pkg.load.Files {
			for _, decl := range file.Decls {
				if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.CONST {
					l.declare(g)
				}
			}
		}
	}
	return l.consts[name]
}

func (l *lengths) declare(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		s, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, id := range s.Names {
			if i < len(s.Values) {
				l.consts[id.Name] = s.Values[i]
			}
		}
	}
}

// imported returns the package of a selector in the file, nil if it is none.
func imported(file *ast.File, p *Package, e *ast.SelectorExpr) *types.Package {
	id, ok := e.X.(*ast.Ident)
	if !ok {
		return nil
	}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		pkg := types.Unsafe
		if path != "unsafe" {
			pkg = nil
			for _, other := range p.load.Types.Imports() {
				if other.Path() == path {
					pkg = other
				}
			}
		}
		if pkg != nil && (spec.Name == nil && pkg.Name() == id.Name || spec.Name != nil && spec.Name.Name == id.Name) {
			return pkg
		}
	}
	return nil
}

// length writes the length of an array.
func (r *renderer) length(t *types.Array) *jen.Statement {
	if l, ok := r.lengths[t]; ok {
		if s, ok := r.constant(l.file, l.expr); ok {
			return s
		}
	}
	return jen.Lit(int(t.Len()))
}

// constant writes a constant as it is written in the file, false if it has a
// form that generated code does not repeat.
func (r *renderer) constant(file *ast.File, expr ast.Expr) (s *jen.Statement, ok bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return jen.Op(e.Value), true
	case *ast.Ident:
		if r.load.Types.Scope().Lookup(e.Name) == nil {
			return r.predeclared(e.Name), true
		}
		return jen.Id(e.Name), true
	case *ast.SelectorExpr:
		if pkg := imported(file, r.Package, e); pkg != nil {
			return r.qual(pkg, e.Sel.Name), true
		}
	case *ast.ParenExpr:
		if s, ok := r.constant(file, e.X); ok {
			return jen.Parens(s), true
		}
	case *ast.UnaryExpr:
		if s, ok := r.constant(file, e.X); ok {
			return jen.Op(e.Op.String()).Add(s), true
		}
	case *ast.BinaryExpr:
		x, okX := r.constant(file, e.X)
		y, okY := r.constant(file, e.Y)
		if okX && okY {
			return x.Op(e.Op.String()).Add(y), true
		}
	case *ast.CallExpr:
		fun, ok := r.constant(file, e.Fun)
		if !ok {
			return nil, false
		}
		var args []jen.Code
		for _, a := range e.Args {
			s, ok := r.constant(file, a)
			if !ok {
				return nil, false
			}
			args = append(args, s)
		}
		return fun.Call(args...), true
	}
	return nil, false
}
