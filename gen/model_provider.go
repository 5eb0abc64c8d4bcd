package gen

import (
	"go/ast"
	"go/token"
	"go/types"

	"github.com/taskctx/taskctx/annotations"
)

func posLen(s string) token.Pos { return token.Pos(len(s)) }

// provider adds the provider of a directive. Its parameters are resolved when
// all providers are known.
func (b *builder) provider(d *annotations.Directive) {
	obj := b.function(d, "a provider")
	if obj == nil {
		return
	}
	p := &Provider{Func: funcName(d.Func), Method: d.Func.Recv != nil, Scope: d.Word, directive: d, obj: obj}
	before := len(b.diags)
	b.provided(p)
	b.providerCtx(p)
	if len(b.diags) == before {
		b.Providers = append(b.Providers, p)
	}
}

// provided checks the results of a provider.
func (b *builder) provided(p *Provider) {
	f := p.directive.Func
	res := p.obj.Signature().Results()
	if res.Len() == 0 {
		b.report(f.Name.Pos(), f.Name.End(), "bad-provider", "let it return the value: T, (T, error), or with a cleanup",
			"the provider %s returns nothing", p.Func)
		return
	}
	p.Type = res.At(0).Type()
	expr := resultExpr(f, 0)
	switch {
	case b.invalid(p.Type, expr, "the type that "+p.Func+" provides"):
		return
	case isError(p.Type), isPlainContext(p.Type), isHandle(p.Type):
		b.report(expr.Pos(), expr.End(), "bad-provider", "return a value of another type first",
			"%s cannot be provided", b.typeName(p.Type))
		return
	case b.copies(p.Type, expr.Pos(), expr.End(), "what "+p.Func+" provides", "return *"+b.typeName(p.Type)):
		return
	}
	rest := 1
	if rest < res.Len() {
		if p.Cleanup = cleanupOf(res.At(rest).Type()); p.Cleanup != NoCleanup {
			rest++
		}
	}
	if rest < res.Len() && isError(res.At(rest).Type()) {
		p.HasError = true
		rest++
	}
	if rest < res.Len() {
		expr := resultExpr(f, rest)
		b.report(expr.Pos(), expr.End(), "bad-provider",
			"a provider returns T, (T, error), (T, cleanup) or (T, cleanup, error); a cleanup is func(), func() error,\n"+
				"or in task scope func(error) error", "result %d of the provider %s is %s",
			rest+1, p.Func, b.typeName(res.At(rest).Type()))
		return
	}
	if p.Cleanup == CleanTask && p.Scope != "task" {
		expr := resultExpr(f, 1)
		b.report(expr.Pos(), expr.End(), "cleanup-scope", "return func() error, or make it //task:provide task",
			"the cleanup of %s takes a task's error, but its values outlive the task", p.Func)
	}
	b.providesContext(p, expr)
}

// providesContext checks a provider of a context type.
func (b *builder) providesContext(p *Provider, expr ast.Expr) {
	n, byValue := contextField(p.Type)
	switch {
	case n == nil:
	case byValue:
		b.report(expr.Pos(), expr.End(), "bad-provider", "return *"+b.typeName(n),
			"the context type %s is passed by pointer", b.typeName(n))
	case n.Obj().Pkg() != b.load.Types:
		b.report(expr.Pos(), expr.End(), "bad-provider", "write the provider in package "+n.Obj().Pkg().Name(),
			"%s is a context type of another package", b.typeName(n))
	case p.Scope != "task":
		b.report(expr.Pos(), expr.End(), "context-scope", "make it //task:provide task",
			"%s gives the context type %s once per %s, but each run has its own", p.Func, b.typeName(n), p.Scope)
	}
}

func cleanupOf(t types.Type) Cleanup {
	sig, ok := t.Underlying().(*types.Signature)
	if !ok || sig.Variadic() {
		return NoCleanup
	}
	in, out := sig.Params(), sig.Results()
	switch {
	case in.Len() == 0 && out.Len() == 0:
		return CleanFunc
	case in.Len() == 0 && out.Len() == 1 && isError(out.At(0).Type()):
		return CleanErr
	case in.Len() == 1 && isError(in.At(0).Type()) && out.Len() == 1 && isError(out.At(0).Type()):
		return CleanTask
	}
	return NoCleanup
}

// providerCtx checks a provider's parameters.
func (b *builder) providerCtx(p *Provider) {
	sig := p.obj.Signature()
	f := p.directive.Func
	if sig.Variadic() {
		last := b.fieldOf(f, sig.Params().Len()-1)
		b.report(last.Pos(), last.End(), "bad-provider", "make it a slice, or leave it out",
			"the provider %s is variadic", p.Func)
	}
	for i := range sig.Params().Len() {
		t := sig.Params().At(i).Type()
		field := b.fieldOf(f, i)
		switch {
		case b.invalid(t, field.Type, "the type of "+p.Func+"'s parameter"):
		case b.copies(t, field.Type.Pos(), field.Type.End(), "a parameter of "+p.Func, "take *"+b.typeName(t)):
		case i > 0 && (isPlainContext(t) || isHandle(t)):
			b.report(field.Pos(), field.End(), "context-not-first", "make it the first parameter",
				"the context of the provider %s is its parameter %d", p.Func, i+1)
		case isHandle(t) && p.Scope != "task":
			b.report(field.Pos(), field.End(), "context-scope",
				"take a context.Context, which is the "+p.Scope+"'s, or make it //task:provide task",
				"%s makes values once per %s, and a *runtime.Context is one task's", p.Func, p.Scope)
		case isHandle(t):
			p.Ctx = TaskCtx
		case isPlainContext(t):
			p.Ctx = PlainCtx
		}
	}
}

// resolveProviders finds out how the providers' parameters are filled.
func (b *builder) resolveProviders() {
	for _, p := range b.Providers {
		params := p.obj.Signature().Params()
		start := 0
		if f := p.directive.Func; p.Method {
			v, _ := b.receiver(f, p.obj)
			p.Params, p.names = append(p.Params, v), append(p.names, receiverVar(f))
		}
		if p.Ctx != NoCtx {
			start = 1
		}
		for i := start; i < params.Len(); i++ {
			v := params.At(i)
			field := b.fieldOf(p.directive.Func, i)
			p.Params = append(p.Params, b.paramValue(p, v, field))
			p.names = append(p.names, v.Name())
		}
	}
}

// paramValue returns how a provider's parameter is filled: by a provider, or
// else as a supply.
func (b *builder) paramValue(p *Provider, v *types.Var, field *ast.Field) Value {
	t := v.Type()
	if n, _ := contextField(t); n != nil {
		b.report(field.Pos(), field.End(), "provider-context",
			"take a *runtime.Context in task scope, or the values it needs one by one",
			"the provider %s takes the context type %s, which providers fill", p.Func, b.typeName(n))
		return Value{Source: FromRun, Type: t}
	}
	from, of, lazy := b.providerOf(t), t, false
	if from == nil {
		of, from = b.lazyProvider(t)
		lazy = from != nil
	}
	if from == nil {
		return Value{Source: FromSupply, Type: t}
	}
	b.ambiguous(of, field, "parameter "+v.Name()+" of "+p.Func,
		"give one of the providers a type of its own, since a parameter has no tag to choose by")
	if lazy {
		b.lazyParam(p, v, from)
	}
	return Value{Source: FromProvider, Type: t, Provider: from, Lazy: lazy}
}

// providerOf returns the first provider of the type, or nil.
func (b *builder) providerOf(t types.Type) *Provider {
	for _, p := range b.Providers {
		if types.Identical(p.Type, t) {
			return p
		}
	}
	return nil
}

// ambiguous reports that several providers give the type of a value, at the
// place that needs it.
func (b *builder) ambiguous(t types.Type, at ast.Node, where, fix string) bool {
	var all []*Provider
	for _, p := range b.Providers {
		if types.Identical(p.Type, t) {
			all = append(all, p)
		}
	}
	if len(all) < 2 {
		return false
	}
	d := b.report(at.Pos(), at.End(), "ambiguous-provider", fix,
		"%d providers return %s for %s", len(all), b.typeName(t), where)
	for _, p := range all {
		b.related(d, p.obj.Pos(), "%s, once per %s", p.Func, p.Scope)
	}
	return true
}

// byName returns how a field is filled that names its provider.
func (b *builder) byName(c *ContextType, v *types.Var, decl *ast.Field, name string) (Value, bool) {
	var names []string
	at, end := tagOf(v, decl)
	for _, p := range b.Providers {
		if p.Func != name {
			names = append(names, p.Func)
			continue
		}
		if types.Identical(p.Type, v.Type()) {
			return Value{Source: FromProvider, Type: v.Type(), Provider: p}, true
		}
		if of, ok := lazyType(v.Type()); ok && types.Identical(p.Type, of) {
			return Value{Source: FromProvider, Type: v.Type(), Provider: p, Lazy: true}, true
		}
		d := b.report(at, end, "wrong-provider", "name a provider of "+b.typeName(v.Type()),
			"%s.%s has type %s, and %s returns %s", c.Name, v.Name(), b.typeName(v.Type()), name, b.typeName(p.Type))
		b.related(d, p.obj.Pos(), "%s", name)
		return Value{}, false
	}
	if b.meant(func(f *ast.FuncDecl, _ *types.Func) bool { return f.Name.Name == name }) {
		return Value{}, false
	}
	fix := "write //task:provide above func " + name
	if near := annotations.Nearest(name, names); near != "" {
		fix = "did you mean " + near + "?"
	}
	b.report(at, end, "unknown-provider", fix, "%s.%s: there is no provider %s",
		c.Name, v.Name(), name)
	return Value{}, false
}
