package gen

import (
	"go/ast"
	"go/types"
	"strings"

	"github.com/taskctx/taskctx/annotations"
)

// funcName returns the name of a function as messages and records have it, a
// method's with its type: "Service.Charge".
func funcName(f *ast.FuncDecl) string {
	if id := receiverName(f); id != nil {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// receiverName returns the name of a method's type, or nil for a function.
func receiverName(f *ast.FuncDecl) *ast.Ident {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return nil
	}
	x := ast.Unparen(f.Recv.List[0].Type)
	for {
		switch e := x.(type) {
		case *ast.StarExpr:
			x = ast.Unparen(e.X)
		case *ast.IndexExpr:
			x = ast.Unparen(e.X)
		case *ast.IndexListExpr:
			x = ast.Unparen(e.X)
		case *ast.Ident:
			return e
		default:
			return nil
		}
	}
}

// funcPath returns the name of a package's function that no other function of
// any package has: a package's path may end in a dot and a word, too.
func funcPath(pkg, fn string) string {
	if typ, method, ok := strings.Cut(fn, "."); ok {
		fn = "(" + typ + ")." + method
	}
	return pkg + "." + fn
}

// ident returns the name as one identifier, for the names of generated code:
// "ServiceCharge".
func ident(fn string) string {
	if typ, method, ok := strings.Cut(fn, "."); ok {
		return typ + upperFirst(method)
	}
	return fn
}

// method returns the method of a directive, or nil if the package has none of
// that name and place.
func (b *builder) method(f *ast.FuncDecl) *types.Func {
	id := receiverName(f)
	if id == nil {
		return nil
	}
	obj, ok := b.object(id.Name).(*types.TypeName)
	if !ok {
		return nil
	}
	named, ok := types.Unalias(obj.Type()).(*types.Named)
	if !ok {
		return nil
	}
	for m := range named.Methods() {
		if m.Pos() == f.Name.Pos() {
			return m
		}
	}
	return nil
}

// isGeneric reports whether a method's type has type parameters.
func isGeneric(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return false
	}
	x := ast.Unparen(f.Recv.List[0].Type)
	if star, ok := x.(*ast.StarExpr); ok {
		x = ast.Unparen(star.X)
	}
	switch x.(type) {
	case *ast.IndexExpr, *ast.IndexListExpr:
		return true
	}
	return false
}

// receiver returns how the receiver of a method is filled: by the provider of
// its type, or else as a supply. It is false if it was reported.
func (b *builder) receiver(f *ast.FuncDecl, obj *types.Func) (Value, bool) {
	t, expr, name := obj.Signature().Recv().Type(), f.Recv.List[0].Type, funcName(f)
	if b.invalid(t, expr, "the receiver of "+name) {
		return Value{}, false
	}
	if n, _ := contextField(t); n != nil {
		b.report(expr.Pos(), expr.End(), "receiver-context",
			"write a function whose first parameter is the *"+b.typeName(n),
			"%s is a method of the context type %s, which each run has its own of", name, b.typeName(n))
		return Value{}, false
	}
	if b.copies(t, expr.Pos(), expr.End(), "the receiver of "+name, "make it *"+b.typeName(t)) {
		return Value{}, false
	}
	ptr, isPtr := types.Unalias(t).(*types.Pointer)
	forms := []types.Type{t}
	if isPtr {
		if p := b.providerOf(ptr.Elem()); p != nil && b.providerOf(t) == nil {
			d := b.report(expr.Pos(), expr.End(), "wrong-receiver", "let "+p.Func+" return "+b.typeName(t),
				"%s needs a %s, and %s makes a %s", name, b.typeName(t), p.Func, b.typeName(p.Type))
			b.related(d, p.obj.Pos(), "%s", p.Func)
			return Value{}, false
		}
	} else {
		forms = append(forms, types.NewPointer(t))
	}
	for _, form := range forms {
		if p := b.providerOf(form); p != nil {
			ok := !b.ambiguous(form, expr, "the receiver of "+name, "leave all but one of them out")
			return Value{Source: FromProvider, Type: form, Provider: p}, ok
		}
	}
	if !isPtr && b.byPointer(f) {
		t = types.NewPointer(t)
	}
	return Value{Source: FromSupply, Type: t}, true
}

// byPointer reports whether another method of the same type that has a directive
// has a pointer as its receiver: one supply is then for both.
func (b *builder) byPointer(f *ast.FuncDecl) bool {
	for _, d := range b.found {
		if d.Func == nil || d.Func.Recv == nil || d.Verb != annotations.Context && d.Verb != annotations.Provide {
			continue
		}
		other := receiverName(d.Func)
		if _, ok := ast.Unparen(d.Func.Recv.List[0].Type).(*ast.StarExpr); ok && other != nil && other.Name == receiverName(f).Name {
			return true
		}
	}
	return false
}

// receiverVar returns the receiver's name in generated code.
func receiverVar(f *ast.FuncDecl) string {
	if names := f.Recv.List[0].Names; len(names) > 0 && names[0].Name != "_" {
		return names[0].Name
	}
	return lowerFirst(receiverName(f).Name)
}

// handlePath returns the fields that lead from a task's context to its
// *runtime.Context: none from that itself.
func handlePath(t types.Type) []string {
	named := contextNamed(t)
	if named == nil || isRuntimeContext(named) {
		return nil
	}
	obj, _, _ := types.LookupFieldOrMethod(t, true, named.Obj().Pkg(), "Context")
	if v, ok := obj.(*types.Var); ok && isHandle(v.Type()) {
		return []string{"Context"}
	}
	st := named.Underlying().(*types.Struct)
	for f := range st.Fields() {
		if !f.Embedded() {
			continue
		}
		if isHandle(f.Type()) {
			return []string{f.Name()}
		}
		if n, _ := contextField(f.Type()); n != nil {
			return append([]string{f.Name()}, handlePath(types.NewPointer(n))...)
		}
	}
	return nil
}
