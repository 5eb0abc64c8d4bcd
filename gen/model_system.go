package gen

import (
	"go/ast"
	"go/build/constraint"
	"go/token"
	"go/types"
	"slices"

	"github.com/taskctx/taskctx/gen/buildtag"
	"github.com/taskctx/taskctx/gen/wiretype"
)

// systems reports parameters and results whose type is another one in another
// build with the generated file: that converts to the type of this build, and
// says how values look on the wire.
func (b *builder) systems() {
	for _, t := range b.Tasks {
		for i, p := range t.Params {
			b.sameType(p.Type, b.fieldOf(t.directive.Func, i+1).Type, "the type of parameter "+p.Name)
		}
		if t.Result != nil && t.Elem == nil {
			b.sameType(t.Result, resultExpr(t.directive.Func, 0), "the result of "+t.Func)
		}
		if t.Elem != nil {
			b.sameType(t.Elem, resultExpr(t.directive.Func, 0), "what "+t.Func+" yields")
		}
	}
}

// sameType reports a type that another build declares differently.
func (b *builder) sameType(t types.Type, expr ast.Expr, what string) {
	s := systemTypes{builder: b, seen: map[types.Type]bool{}}
	s.visit(t)
	if s.at == token.NoPos {
		return
	}
	e := b.report(expr.Pos(), expr.End(), "differs-by-system",
		"take a type that is the same in all builds, such as int64, and convert it in the function",
		"%s is not the same in other builds: %s %s", what, b.typeName(s.found), s.how)
	b.related(e, s.at, "here")
}

// systemTypes looks for a type, among those that a type is made of, that another
// build declares differently.
type systemTypes struct {
	*builder
	seen  map[types.Type]bool
	found types.Type
	how   string
	at    token.Pos
}

func (s *systemTypes) visit(t types.Type) {
	if s.at != token.NoPos || s.seen[t] {
		return
	}
	s.seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		s.arguments(t.TypeArgs())
		if t.Obj().Pkg() != nil && !s.differs(t, t.Obj()) {
			s.visit(t.Rhs())
		}
		return
	case *types.Named:
		s.arguments(t.TypeArgs())
		if t.Obj().Pkg() == nil || s.methods(t) || wiretype.Encodes(t) || s.differs(t, t.Obj()) {
			return
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Map:
		s.visit(u.Key())
		s.visit(u.Elem())
	case *types.Struct:
		for f := range u.Fields() {
			s.visit(f.Type())
		}
	case interface{ Elem() types.Type }:
		s.visit(u.Elem())
	}
}

func (s *systemTypes) arguments(args *types.TypeList) {
	for a := range args.Types() {
		s.visit(a)
	}
}

// differs notes a type with a declaration in another build that is not the same.
func (s *systemTypes) differs(t types.Type, obj *types.TypeName) bool {
	if !s.ofSystem(obj) {
		return false
	}
	files := s.modeler.loader.Siblings(obj)
	name := s.modeler.loader.FileOf(obj)
	here := ""
	for _, f := range files {
		if spec := typeIn(f.Tree, obj.Name()); spec != nil && s.load.Fset.PositionFor(f.Tree.FileStart, false).Filename == name {
			here = typeText(f.Tree, spec)
		}
	}
	for _, f := range files {
		spec := typeIn(f.Tree, obj.Name())
		if here == "" || spec == nil || typeText(f.Tree, spec) == here ||
			!buildtag.Possible(buildtag.And(s.here(f.Constraint), f.Constraint)) {
			continue
		}
		s.found, s.how, s.at = t, "is declared otherwise for them", spec.Name.Pos()
		return true
	}
	return false
}

// wireMethods are the methods that decide how a value looks on the wire.
var wireMethods = []string{
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "MarshalJSONTo", "UnmarshalJSONFrom", "Validate", "IsZero",
}

// methods notes a type of the user's modules with such a method in some builds only.
func (s *systemTypes) methods(t *types.Named) bool {
	obj := t.Obj()
	if p := s.modeler.loader.Source(obj.Pkg().Path()); p == nil || !p.Module.Main {
		return false
	}
	having := map[string][]constraint.Expr{}
	place := map[string]token.Pos{}
	for _, f := range s.modeler.loader.Siblings(obj) {
		for _, decl := range f.Tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !slices.Contains(wireMethods, fn.Name.Name) {
				continue
			}
			if id := receiverName(fn); id != nil && id.Name == obj.Name() {
				having[fn.Name.Name] = append(having[fn.Name.Name], f.Constraint)
				place[fn.Name.Name] = fn.Name.Pos()
			}
		}
	}
	for _, name := range wireMethods {
		if len(having[name]) == 0 {
			continue
		}
		with := having[name][0]
		for _, c := range having[name][1:] {
			with = buildtag.Or(with, c)
		}
		if buildtag.Implies(s.here(with), with) || !buildtag.Possible(buildtag.And(s.here(with), with)) {
			continue
		}
		s.found, s.how, s.at = t, "has the method "+name+" in some of them only", place[name]
		return true
	}
	return false
}

// ofSystem reports whether an object is declared in a file that some builds with
// the generated file leave out.
func (p *Package) ofSystem(obj types.Object) bool {
	c := p.loader.Builds(obj)
	return c != nil && !buildtag.Implies(p.here(c), c)
}

// here returns the constraint of the builds that have the generated file, and the
// tags of c as they are set now: those are a choice of who builds.
func (p *Package) here(c constraint.Expr) constraint.Expr {
	return buildtag.And(p.builds, p.loader.Set(c))
}

// typeIn returns the declaration of a type in a file, or nil.
func typeIn(f *ast.File, name string) *ast.TypeSpec {
	for _, spec := range typeSpecs(f) {
		if spec.Name.Name == name {
			return spec
		}
	}
	return nil
}
