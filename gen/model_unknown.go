package gen

import (
	"go/ast"
	"go/token"
	"go/types"
	"iter"
	"slices"

	"github.com/taskctx/taskctx/gen/diag"
	"github.com/taskctx/taskctx/gen/load"
)

// invalid reports an unknown type, with the type checker's error, and returns
// whether it is unknown.
func (b *builder) invalid(t types.Type, expr ast.Expr, what string) bool {
	if !hasInvalid(t) {
		return false
	}
	if c := cgoType(expr); c != nil {
		b.report(c.Pos(), c.End(), "cgo-type", "take a Go type, such as int32, and convert it in the function",
			"%s is C.%s, which only this package's own files can name", what, c.Sel.Name)
		return true
	}
	for _, e := range b.load.Errors {
		if expr.Pos() <= e.Pos && e.Pos < expr.End() {
			b.report(e.Pos, token.NoPos, "unknown-type", "", "%s is not known: %s", what, e.Msg)
			return true
		}
	}
	b.whyUnknown(b.report(expr.Pos(), expr.End(), "unknown-type", "", "%s is not known", what), expr, t)
	return true
}

// cgoType returns the first of cgo's types in the expression, or nil.
func cgoType(expr ast.Expr) (found *ast.SelectorExpr) {
	ast.Inspect(expr, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && found == nil {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == "C" {
				found = sel
			}
		}
		return found == nil
	})
	return found
}

// whyUnknown adds the likely causes of an unknown type: the type checker's
// errors about the expression, and about the declarations of its part types,
// in this package and in others read from their source. A failed import is a
// cause if its name is used.
func (b *builder) whyUnknown(d *diag.Diagnostic, expr ast.Expr, t types.Type) {
	made := append([]typeSource{{b.load, expr}}, b.madeOf(t)...)
	var causes []types.Error
	for _, m := range made {
		for _, e := range m.pkg.Errors {
			if m.causedBy(e) && !slices.ContainsFunc(causes, func(c types.Error) bool { return c.Pos == e.Pos }) {
				causes = append(causes, e)
			}
		}
	}
	if len(causes) == 0 {
		causes = b.load.Errors
	}
	for _, e := range causes[:min(len(causes), 3)] {
		b.related(d, e.Pos, "%s", e.Msg)
	}
}

// typeSource is the source of a type: an expression in a package.
type typeSource struct {
	pkg  *load.Package
	expr ast.Expr
}

// causedBy reports whether the error may be why the type is unknown.
func (s typeSource) causedBy(e types.Error) bool {
	if s.expr.Pos() <= e.Pos && e.Pos < s.expr.End() {
		return true
	}
	name := s.pkg.FailedImport(e)
	used := false
	ast.Inspect(s.expr, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && name != "" {
			id, ok := sel.X.(*ast.Ident)
			used = used || ok && id.Name == name
		}
		return !used
	})
	return used
}

// madeOf returns the declarations of the type's part types, if they were read
// from their source.
func (b *builder) madeOf(t types.Type) (list []typeSource) {
	seen := map[types.Type]bool{}
	var visit func(t types.Type)
	visit = func(t types.Type) {
		t = types.Unalias(t)
		if seen[t] {
			return
		}
		seen[t] = true
		if n, ok := t.(*types.Named); ok {
			if s, ok := b.declaration(n); ok {
				list = append(list, s)
			}
			for a := range n.TypeArgs().Types() {
				visit(a)
			}
		}
		switch u := t.Underlying().(type) {
		case interface{ Elem() types.Type }:
			if m, ok := u.(*types.Map); ok {
				visit(m.Key())
			}
			visit(u.Elem())
		case *types.Struct:
			for f := range u.Fields() {
				visit(f.Type())
			}
		}
	}
	visit(t)
	return list
}

// declaration returns the source of a named type.
func (b *builder) declaration(n *types.Named) (typeSource, bool) {
	pkg := n.Obj().Pkg()
	if pkg == nil {
		return typeSource{}, false
	}
	p := b.modeler.loader.Source(pkg.Path())
	if p == nil {
		return typeSource{}, false
	}
	for _, f := range p.Files {
		if n.Obj().Pos() < f.FileStart || f.FileEnd < n.Obj().Pos() {
			continue
		}
		for _, spec := range typeSpecs(f) {
			if spec.Name.Pos() == n.Obj().Pos() {
				return typeSource{p, spec.Type}, true
			}
		}
	}
	return typeSource{}, false
}

// hasInvalid reports whether the type is written with an unknown name.
func hasInvalid(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		return t.Kind() == types.Invalid
	case *types.Pointer:
		return hasInvalid(t.Elem())
	case *types.Slice:
		return hasInvalid(t.Elem())
	case *types.Array:
		return hasInvalid(t.Elem())
	case *types.Chan:
		return hasInvalid(t.Elem())
	case *types.Map:
		return hasInvalid(t.Key()) || hasInvalid(t.Elem())
	case *types.Struct:
		return anyInvalid(t.Fields())
	case *types.Signature:
		return anyInvalid(t.Params().Variables()) || anyInvalid(t.Results().Variables())
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			if hasInvalid(m.Type()) {
				return true
			}
		}
		for e := range t.EmbeddedTypes() {
			if hasInvalid(e) {
				return true
			}
		}
	case *types.Named:
		for a := range t.TypeArgs().Types() {
			if hasInvalid(a) {
				return true
			}
		}
		return !t.Obj().IsAlias() && t.Underlying() == types.Typ[types.Invalid]
	}
	return false
}

func anyInvalid(vars iter.Seq[*types.Var]) bool {
	for v := range vars {
		if hasInvalid(v.Type()) {
			return true
		}
	}
	return false
}
