package gen

import (
	"go/ast"
	"go/types"

	"github.com/dave/jennifer/jen"
)

// lengths finds the lengths of arrays that depend on the platform, as
// bits.UintSize does: generated code repeats them as they are written, so that it
// compiles on each. Other lengths it writes as numbers, which fail to compile
// when a constant changes.
type lengths struct {
	pkg    *Package
	consts *constants
	found  map[*types.Array]length
}

// length is how the length of an array is written.
type length struct {
	expr ast.Expr
	file *ast.File
}

func lengthsOf(p *Package) map[*types.Array]length {
	l := &lengths{pkg: p, consts: constantsOf(p), found: map[*types.Array]length{}}
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
			if l.consts.varies(l.pkg.load.Types, file, e.Len, 0) {
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

// length writes the length of an array.
func (r *renderer) length(t *types.Array) *jen.Statement {
	if l, ok := r.lengths[t]; ok {
		if s, ok := r.constant(l.file, l.expr); ok {
			return s
		}
	}
	return jen.Lit(int(t.Len()))
}

// constant writes an expression as it is written in the file, false if it has a
// form that generated code does not repeat.
func (r *renderer) constant(file *ast.File, expr ast.Expr) (s *jen.Statement, ok bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return jen.Op(e.Value), true
	case *ast.Ident:
		return r.constantName(file, e.Name), true
	case *ast.SelectorExpr:
		if pkg := imported(file, r.load.Types, e); pkg != nil {
			return r.qual(pkg, e.Sel.Name), true
		}
		if x, ok := r.constant(file, e.X); ok {
			return x.Dot(e.Sel.Name), true
		}
	case *ast.ParenExpr:
		if s, ok := r.constant(file, e.X); ok {
			return jen.Parens(s), true
		}
	case *ast.StarExpr:
		if s, ok := r.constant(file, e.X); ok {
			return jen.Op("*").Add(s), true
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
	case *ast.CompositeLit:
		if s, ok := r.constant(file, e.Type); ok && len(e.Elts) == 0 {
			return s.Values(), true
		}
	case *ast.ArrayType:
		return r.constantArray(file, e)
	case *ast.CallExpr:
		return r.constantCall(file, e)
	}
	return nil, false
}

// constantName writes a name of the file: of the package, of one imported with a
// dot, or of Go.
func (r *renderer) constantName(file *ast.File, name string) *jen.Statement {
	if r.load.Types.Scope().Lookup(name) != nil {
		return jen.Id(name)
	}
	if pkg := dotImported(file, r.load.Types, name); pkg != nil {
		return r.qual(pkg, name)
	}
	return r.predeclared(name)
}

func (r *renderer) constantArray(file *ast.File, e *ast.ArrayType) (*jen.Statement, bool) {
	elem, ok := r.constant(file, e.Elt)
	if !ok || e.Len == nil {
		return jen.Index().Add(elem), ok
	}
	n, ok := r.constant(file, e.Len)
	return jen.Index(n).Add(elem), ok
}

func (r *renderer) constantCall(file *ast.File, e *ast.CallExpr) (*jen.Statement, bool) {
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

// lengthNames returns the names that the lengths of arrays in a type refer to.
func (r *renderer) lengthNames(t types.Type) (names []string) {
	switch t := t.(type) {
	case *types.Array:
		if l, ok := r.lengths[t]; ok {
			ast.Inspect(l.expr, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					names = append(names, id.Name)
				}
				return true
			})
		}
		names = append(names, r.lengthNames(t.Elem())...)
	case *types.Map:
		names = append(r.lengthNames(t.Key()), r.lengthNames(t.Elem())...)
	case *types.Struct:
		for f := range t.Fields() {
			names = append(names, r.lengthNames(f.Type())...)
		}
	case interface{ TypeArgs() *types.TypeList }: // a name, whose own arrays are not repeated
		for a := range t.TypeArgs().Types() {
			names = append(names, r.lengthNames(a)...)
		}
	case interface{ Elem() types.Type }:
		return r.lengthNames(t.Elem())
	}
	return names
}

// lengths reports lengths of arrays that differ by platform, and that generated
// code cannot repeat.
func (b *builder) lengths() {
	found := lengthsOf(b.Package)
	if len(found) == 0 {
		return
	}
	r := newRenderer(b.Package)
	for t, l := range found {
		if _, ok := r.constant(l.file, l.expr); !ok {
			b.report(l.expr.Pos(), l.expr.End(), "array-length", "declare a constant of this value, and use its name",
				"the length %d may be another in other builds, and generated code cannot repeat how it is written", t.Len())
		}
	}
}
