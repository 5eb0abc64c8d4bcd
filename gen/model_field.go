package gen

import (
	"go/ast"
	"go/token"
	"go/types"

	"github.com/taskctx/taskctx/annotations"
)

// fields finds out how each field of a context type is filled.
func (b *builder) fields(c *ContextType, named *types.Named, spec *ast.TypeSpec) {
	st := named.Underlying().(*types.Struct)
	decls := fieldDecls(spec)
	for i := range st.NumFields() {
		v := st.Field(i)
		var decl *ast.Field
		if i < len(decls) {
			decl = decls[i]
		}
		f := b.field(c, v, decl, st.Tag(i))
		if f != nil {
			c.Fields = append(c.Fields, f)
		}
	}
}

// fieldDecls returns the declaration of each field of a struct, in order, nil
// for a type that is defined by another type's name.
func fieldDecls(spec *ast.TypeSpec) []*ast.Field {
	st, ok := ast.Unparen(spec.Type).(*ast.StructType)
	if !ok {
		return nil
	}
	var decls []*ast.Field
	for _, f := range st.Fields.List {
		for range max(len(f.Names), 1) {
			decls = append(decls, f)
		}
	}
	return decls
}

// field finds out how one field is filled. It returns nil for a field that is
// left alone, or reported.
func (b *builder) field(c *ContextType, v *types.Var, decl *ast.Field, text string) *Field {
	f := &Field{Name: v.Name(), pos: v.Pos()}
	if b.invalid(v.Type(), b.fieldType(c, v, decl), "the type of "+c.Name+"."+v.Name()) {
		return nil // also for a field that is left alone: generated code lists them all
	}
	var tag annotations.Field
	if text != "" {
		var msg, hint string
		if tag, msg, hint = annotations.ParseField(text); msg != "" {
			pos, end := tagOf(v, decl)
			b.report(pos, end, "bad-tag", hint, "%s.%s: %s", c.Name, v.Name(), msg)
			return nil
		}
	}
	asked := tag.Supply || tag.By != ""
	if tag.Skip || v.Name() == "_" || !asked && !v.Exported() && !v.Embedded() {
		return nil
	}
	value, ok := b.fieldValue(c, v, decl, tag)
	if !ok || b.fieldCopies(c, v, decl, value) {
		return nil
	}
	f.Value = value
	return f
}

func (b *builder) fieldValue(c *ContextType, v *types.Var, decl *ast.Field, tag annotations.Field) (Value, bool) {
	t := v.Type()
	where := c.Name + "." + v.Name()
	switch {
	case tag.By != "":
		return b.byName(c, v, decl, tag.By)
	case tag.Supply:
		return Value{Source: FromSupply, Type: t}, true
	case isHandle(t):
		return Value{Source: FromRun, Type: t}, true
	}
	if n, deref := contextField(t); n != nil {
		return b.nestedContext(v, n, deref)
	}
	if p := b.providerOf(t); p != nil {
		id := &ast.Ident{NamePos: v.Pos(), Name: v.Name()}
		if b.ambiguous(t, id, where, "tag the field to choose one: `task:\"by="+p.Func+"\"`") {
			return Value{}, false
		}
		return Value{Source: FromProvider, Type: t, Provider: p}, true
	}
	if of, p := b.lazyProvider(t); p != nil {
		id := &ast.Ident{NamePos: v.Pos(), Name: v.Name()}
		if b.ambiguous(of, id, where, "tag the field to choose one: `task:\"by="+p.Func+"\"`") {
			return Value{}, false
		}
		return Value{Source: FromProvider, Type: t, Provider: p, Lazy: true}, true
	}
	if isPlainContext(t) && !v.Embedded() {
		return Value{Source: FromRun, Type: t}, true
	}
	if v.Embedded() && !v.Exported() {
		return Value{}, false // an unexported struct that is no context is left alone
	}
	b.unfilled(c, v)
	return Value{}, false
}

// tagOf returns the place of a field's tag, or the field's name if it is
// declared with another type.
func tagOf(v *types.Var, decl *ast.Field) (pos, end token.Pos) {
	if decl == nil || decl.Tag == nil {
		return v.Pos(), v.Pos() + posLen(v.Name())
	}
	return decl.Tag.Pos(), decl.Tag.End()
}

// fieldType returns the source of a field's type, or else the place of the
// field or of its context type.
func (b *builder) fieldType(c *ContextType, v *types.Var, decl *ast.Field) ast.Expr {
	switch {
	case decl == nil && v.Pkg() == b.load.Types:
		return &ast.BadExpr{From: v.Pos(), To: v.Pos() + posLen(v.Name())}
	case decl == nil:
		return &ast.BadExpr{From: c.pos, To: c.pos + posLen(c.Name)}
	}
	return decl.Type
}

// contextField returns the context type of a field, by pointer or by value.
func contextField(t types.Type) (n *types.Named, deref bool) {
	if n = contextNamed(t); n != nil {
		return n, false
	}
	return contextNamed(types.NewPointer(t)), true
}

// nestedContext returns how a field is filled whose type is a context type
// itself.
func (b *builder) nestedContext(v *types.Var, n *types.Named, deref bool) (Value, bool) {
	if n.TypeArgs().Len() > 0 {
		b.report(v.Pos(), v.Pos()+posLen(v.Name()), "generic-context", "write one context type for each",
			"the context type %s has type parameters", b.typeName(n))
		return Value{}, false
	}
	if n.Obj().Pkg() != b.load.Types {
		b.registered(n, &ast.Ident{NamePos: v.Pos(), Name: v.Name()})
		return Value{Source: FromForeign, Type: types.NewPointer(n), Deref: deref}, true
	}
	if b.building[n.Obj()] {
		b.report(v.Pos(), v.Pos()+posLen(v.Name()), "context-cycle", "tag the field `task:\"-\"` to leave it alone",
			"to fill %s a %s would have to be there already", v.Name(), b.typeName(n))
		return Value{}, false
	}
	inner := b.context(n)
	if inner == nil || b.bad[n.Obj()] {
		return Value{}, false
	}
	return Value{Source: FromContext, Type: types.NewPointer(n), Context: inner, Deref: deref}, true
}

// unfilled reports a field that nothing fills, with the ways out.
func (b *builder) unfilled(c *ContextType, v *types.Var) {
	if b.meant(func(f *ast.FuncDecl, obj *types.Func) bool {
		res := obj.Signature().Results()
		return res.Len() > 0 && types.Identical(res.At(0).Type(), v.Type())
	}) {
		return
	}
	typ, made := b.typeName(v.Type()), b.typeName(v.Type())
	if of, ok := lazyType(v.Type()); ok {
		made = b.typeName(of)
	}
	fix := b.almostLazy(v.Type()) + "write a provider of " + made + ":\n" +
		"\t//task:provide worker\n" +
		"\tfunc open" + upperFirst(v.Name()) + "() (" + made + ", error)\n" +
		"or tag the field `task:\"supply\"` and give the app the value: runtime.Supply[" + typ + "](app, ...)\n" +
		"or tag it `task:\"-\"` to leave it alone"
	d := b.report(v.Pos(), v.Pos()+posLen(v.Name()), "unfilled-field", fix,
		"nothing fills %s.%s: no provider in this package returns %s", c.Name, v.Name(), typ)
	for _, f := range b.makers(v.Type()) {
		b.related(d, f.Name.Pos(), "%s returns it: write //task:provide above it, with worker, process or task", f.Name.Name)
	}
	iface, ok := v.Type().Underlying().(*types.Interface)
	if !ok || iface.Empty() {
		return
	}
	for _, p := range b.Providers {
		if types.Implements(p.Type, iface) {
			b.related(d, p.obj.Pos(), "%s returns %s, which would do: let it return %s", p.Func, b.typeName(p.Type), typ)
		}
	}
}
