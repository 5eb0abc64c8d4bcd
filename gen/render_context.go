package gen

import (
	"go/types"

	"github.com/dave/jennifer/jen"
)

// constructor is the name of the function that makes a context type.
func (r *renderer) constructor(c *ContextType) string {
	if c.By != nil {
		return r.providers[c.By].provide
	}
	return r.contexts[c]
}

// context writes the constructor of a context type, and the guard that fails
// to compile when its fields changed.
func (r *renderer) context(c *ContextType) {
	if c.By != nil {
		return
	}
	s := r.local()
	ctx, err := s.pick("ctx"), s.pick("err")
	body, value := r.literal(c, s, ctx, err)
	body = append(body, jen.Return(jen.Op("&").Add(value), jen.Nil()))
	name := r.contexts[c]
	r.comment(name + " makes the " + c.Name + " of one run of a task.")
	r.file.Func().Id(name).Params(jen.Id(ctx).Op("*").Add(r.rt("Context"))).
		Params(jen.Op("*").Id(c.Name), jen.Error()).Block(body...)
	r.file.Line()
	if !c.guarded() {
		return
	}
	r.comment("The fields of " + c.Name + " changed if this does not compile: run go generate.")
	st := c.Type.Underlying().(*types.Struct)
	fields := r.structure(st, false).Parens(jen.Id(c.Name).Values())
	r.file.Func().Id("_").Params().Block(jen.Id("_").Op("=").Add(fields)) // checked, and not compiled
	r.file.Line()
}

// literal writes the statements that get the values of a context type's fields,
// and the context. One that another embeds by value is made in its place: it may
// hold a lock, which must not be copied.
func (r *renderer) literal(c *ContextType, s *scope, ctx, err string) (body []jen.Code, value *jen.Statement) {
	set := []jen.Code{}
	for _, f := range c.Fields {
		value := jen.Id(ctx)
		switch {
		case f.Source == FromRun:
		case f.Lazy:
			name := s.pick(lowerFirst(f.Name))
			body = append(body, jen.Id(name).Op(":=").Add(r.lazy(f.Value, ctx)))
			value = jen.Id(name)
		case f.Source == FromContext && f.Deref && f.Context.By == nil:
			var inner []jen.Code
			inner, value = r.literal(f.Context, s, ctx, err)
			body = append(body, inner...)
		default:
			name := s.pick(lowerFirst(f.Name))
			body = append(body, r.fetch(f.Value, ctx, name, err, jen.Nil())...)
			value = jen.Id(name)
			if f.Deref {
				value = jen.Op("*").Add(value)
			}
		}
		set = append(set, jen.Id(f.Name).Op(":").Add(value))
	}
	return body, jen.Id(c.Name).Values(set...)
}

// guarded reports whether the context type's fields can be written here: another
// package's unexported ones cannot, nor change here.
func (c *ContextType) guarded() bool {
	for f := range c.Type.Underlying().(*types.Struct).Fields() {
		if !f.Exported() && f.Pkg() != c.Type.Obj().Pkg() {
			return false
		}
	}
	return true
}

// fetch writes the statements that get a value, and return the error if there
// is one, after the function's other results.
func (r *renderer) fetch(v Value, ctx, name, err string, zero ...jen.Code) []jen.Code {
	return []jen.Code{
		jen.List(jen.Id(name), jen.Id(err)).Op(":=").Add(r.value(v, ctx)),
		jen.If(jen.Id(err).Op("!=").Nil()).Block(jen.Return(append(zero, jen.Id(err))...)),
	}
}

// value writes the call that gets a value.
func (r *renderer) value(v Value, ctx string) *jen.Statement {
	switch v.Source {
	case FromContext:
		return jen.Id(r.constructor(v.Context)).Call(jen.Id(ctx))
	case FromForeign:
		return r.rt("BuildContext").Types(r.typ(v.Type)).Call(jen.Id(ctx))
	case FromProvider:
		return jen.Id(r.providers[v.Provider].provide).Call(jen.Id(ctx))
	default:
		return r.rt("Require").Types(r.typ(v.Type)).Call(jen.Id(ctx))
	}
}

// lazy writes the function that gives a provider's value.
func (r *renderer) lazy(v Value, ctx string) *jen.Statement {
	n := r.providers[v.Provider]
	value := jen.Id(n.provide).Call(jen.Id(ctx))
	if v.Provider.Scope == "task" {
		value = jen.Id(n.key).Dot("Lazy").Call(jen.Id(ctx), jen.Id(n.provide))
	}
	return jen.Func().Params().Params(r.typ(v.Provider.Type), jen.Error()).Block(jen.Return(value))
}

var scopes = map[string]string{"process": "PerProcess", "worker": "PerWorker", "task": "PerTask"}

// provider writes the function that gives a provider's value.
func (r *renderer) provider(p *Provider) {
	n := r.providers[p]
	s := r.local()
	ctx, err := s.pick("ctx"), s.pick("err")
	scope := "_"
	if p.Ctx == PlainCtx {
		scope = s.pick("scope")
	}
	var body, pass []jen.Code
	switch p.Ctx {
	case PlainCtx:
		pass = append(pass, jen.Id(scope))
	case TaskCtx:
		pass = append(pass, jen.Id(ctx))
	}
	fn := jen.Id(p.Func)
	for i, v := range p.Params {
		name := p.names[i]
		if name == "" || name == "_" {
			name = "value"
		}
		name = s.pick(name)
		if v.Lazy {
			body, pass = append(body, jen.Id(name).Op(":=").Add(r.lazy(v, ctx))), append(pass, jen.Id(name))
			continue
		}
		body = append(body, r.fetch(v, ctx, name, err, r.zero(p.Type), jen.Nil())...)
		if p.Method && i == 0 {
			fn = jen.Id(name).Dot(p.obj.Name())
			continue
		}
		pass = append(pass, jen.Id(name))
	}
	body = append(body, r.provided(p, s, err, fn.Call(pass...))...)
	open := jen.Func().Params(jen.Id(scope).Add(r.qual(contextPackage, "Context"))).
		Params(r.typ(p.Type), jen.Func().Params(jen.Error()).Error(), jen.Error()).Block(body...)
	r.file.Var().Id(n.key).Op("=").Add(r.rt("NewKey")).Types(r.typ(p.Type)).
		Call(jen.Lit(r.Name+"."+p.Func), r.rt(scopes[p.Scope]), jen.Nil())
	r.file.Line()
	r.comment(n.provide + " gives what " + p.Func + " makes: once per " + p.Scope + ".")
	r.file.Func().Id(n.provide).Params(jen.Id(ctx).Op("*").Add(r.rt("Context"))).
		Params(r.typ(p.Type), jen.Error()).
		Block(jen.Return(jen.Id(n.key).Dot("Provide").Call(jen.Id(ctx), open)))
	r.file.Line()
}

// provided writes the statements that call a provider and return its value, its
// cleanup and its error.
func (r *renderer) provided(p *Provider, s *scope, err string, call *jen.Statement) []jen.Code {
	if p.Cleanup == CleanTask && p.HasError {
		return []jen.Code{jen.Return(call)}
	}
	if p.Cleanup == NoCleanup && !p.HasError {
		return []jen.Code{jen.Return(call, jen.Nil(), jen.Nil())}
	}
	v := s.pick("v")
	vars := []jen.Code{jen.Id(v)}
	cleanup := jen.Nil()
	if p.Cleanup != NoCleanup {
		name := s.pick("cleanup")
		vars = append(vars, jen.Id(name))
		switch p.Cleanup {
		case CleanFunc:
			cleanup = r.glue("CloseFunc").Call(jen.Id(name))
		case CleanErr:
			cleanup = r.glue("CloseErrFunc").Call(jen.Id(name))
		default:
			cleanup = jen.Id(name)
		}
	}
	last := jen.Nil()
	if p.HasError {
		vars = append(vars, jen.Id(err))
		last = jen.Id(err)
	}
	return []jen.Code{jen.List(vars...).Op(":=").Add(call), jen.Return(jen.Id(v), cleanup, last)}
}
