package gen

import (
	"go/types"
	"time"
)

// lazyType returns the type T of a plain func() (T, error). A named function type
// is a type of its own, with providers of its own.
func lazyType(t types.Type) (types.Type, bool) {
	sig, ok := types.Unalias(t).(*types.Signature)
	if !ok || sig.Params().Len() != 0 || sig.Results().Len() != 2 || !isError(sig.Results().At(1).Type()) {
		return nil, false
	}
	return sig.Results().At(0).Type(), true
}

// lazyProvider returns the type T and its first provider for a func() (T, error)
// that nothing provides itself.
func (b *builder) lazyProvider(t types.Type) (types.Type, *Provider) {
	if of, ok := lazyType(t); ok {
		return of, b.providerOf(of)
	}
	return nil, nil
}

// almostLazy is the mend of a type that is meant to be lazy, with a line break, or "".
func (b *builder) almostLazy(t types.Type) string {
	sig, ok := t.Underlying().(*types.Signature)
	if !ok || sig.Params().Len() != 0 || sig.Results().Len() == 0 || b.providerOf(sig.Results().At(0).Type()) == nil {
		return ""
	}
	return "to have it made at the first call, write its type as func() (" + b.typeName(sig.Results().At(0).Type()) + ", error);\n" +
		"or "
}

// orLazy is the mend of a context of this package that has a value of the provider,
// after a line break, or "".
func (b *builder) orLazy(named *types.Named, p *Provider) string {
	for _, c := range b.Contexts {
		for _, f := range c.Fields {
			if c.Type == named && f.Provider == p {
				return "\nor let it be made at the first call, by a step: " + f.Name + " func() (" + b.typeName(p.Type) + ", error)"
			}
		}
	}
	return ""
}

// lazyParam checks a parameter that makes its value at the first call: the function
// belongs to one run, so that nothing may keep it that outlives the run.
func (b *builder) lazyParam(p *Provider, v *types.Var, from *Provider) {
	if p.Scope == "task" {
		return
	}
	fix := "make " + p.Func + " //task:provide task"
	if lifetime(from.Scope) >= lifetime(p.Scope) {
		fix = "take a " + b.typeName(from.Type) + ", or " + fix
	}
	b.report(v.Pos(), v.Pos()+posLen(v.Name()), "scope", fix,
		"%s makes values once per %s, and its %s can be called only as long as the task that made them runs",
		p.Func, p.Scope, b.typeName(v.Type()))
}

// longTask is the timeout from which on a task counts as long.
const longTask = 5 * time.Minute

// longTransactions notes long tasks whose context opens a transaction before they
// begin, so that it stays open as long as they run.
func (b *builder) longTransactions() {
	for _, t := range b.Tasks {
		named := contextNamed(t.Context)
		if t.Timeout < longTask || named == nil || named.Obj().Pkg() != b.load.Types {
			continue
		}
		for _, c := range b.Contexts {
			if c.Type != named {
				continue
			}
			for _, f := range c.Fields {
				if f.Source == FromProvider && !f.Lazy && f.Provider.Scope == "task" && isTransaction(f.Type) {
					b.longTransaction(t, c, f)
				}
			}
		}
	}
}

func (b *builder) longTransaction(t *Task, c *ContextType, f *Field) {
	typ := b.typeName(f.Type)
	at := t.directive.All("timeout")
	pos, end := t.directive.Func.Name.Pos(), t.directive.Func.Name.End()
	if len(at) > 0 {
		pos, end = at[0].Pos, at[0].End
	}
	d := b.note(pos, end, "long-transaction",
		"begin it at its first use: "+f.Name+" func() ("+typ+", error), and ctx."+f.Name+"() in the tasks of "+c.Name,
		"%s may run for %s, and %s.%s is a transaction that is open from its beginning to its end",
		t.Func, t.Timeout, c.Name, f.Name)
	b.related(d, f.pos, "%s.%s, from %s", c.Name, f.Name, f.Provider.Func)
}

// isTransaction reports whether a type has methods Commit and Rollback that return
// an error.
func isTransaction(t types.Type) bool {
	for _, name := range []string{"Commit", "Rollback"} {
		obj, _, _ := types.LookupFieldOrMethod(t, true, nil, name)
		f, ok := obj.(*types.Func)
		if !ok {
			return false
		}
		res := f.Signature().Results()
		if res.Len() != 1 || !isError(res.At(0).Type()) {
			return false
		}
	}
	return true
}
