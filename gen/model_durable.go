package gen

import "github.com/taskctx/taskctx/annotations"

// durables reports durable tasks whose context has values of task scope. The
// run of such a task would hold them while its steps, which have a scope of
// their own, wait for the same lock or the last connection of a pool. Each
// suspension would also roll back the work done with them.
func (b *builder) durables() {
	for _, t := range b.Tasks {
		if !t.Durable {
			continue
		}
		if t.Receiver != nil {
			if p := b.modeler.perRun(b.Package, *t.Receiver, map[any]bool{}); p != nil {
				b.durableReceiver(t, p)
				continue
			}
		}
		named := contextNamed(t.Context)
		if named == nil {
			continue
		}
		p := b.modeler.perRun(b.Package, Value{Source: FromForeign, Type: t.Context}, map[any]bool{})
		if p == nil {
			continue
		}
		at := t.directive.Flag(annotations.Durable)
		d := b.report(at.Pos, at.End, "durable-scope",
			"give "+t.Func+" a *runtime.Context, and "+b.typeName(t.Context)+" to its steps:\n"+
				"\truntime.Step(ctx, \"name\", func(ctx "+b.typeName(t.Context)+") (T, error) { ... })"+b.orLazy(named, p),
			"%s is durable, and its context %s has a %s that %s makes for each run: only a step's may", t.Func,
			b.typeName(t.Context), b.typeName(p.Type), p.Func)
		b.related(d, p.obj.Pos(), "%s, once per run", p.Func)
	}
}

// durableReceiver reports a durable method whose receiver is made for each run.
func (b *builder) durableReceiver(t *Task, p *Provider) {
	at := t.directive.Flag(annotations.Durable)
	d := b.report(at.Pos, at.End, "durable-scope", "make "+p.Func+" //task:provide worker, or use what it makes in steps only",
		"%s is durable, and its receiver has a %s that %s makes for each run: only a step's may", t.Func, b.typeName(p.Type), p.Func)
	b.related(d, p.obj.Pos(), "%s, once per run", p.Func)
}

// perRun returns a provider of task scope that a value is made with, nil if there
// is none or it is not known.
func (m *modeler) perRun(in *Package, v Value, seen map[any]bool) *Provider {
	if v.Lazy {
		return nil // made in the steps that call it
	}
	switch v.Source {
	case FromProvider:
		return m.perRunBy(in, v.Provider, seen)
	case FromContext:
		return m.perRunIn(in, v.Context, seen)
	case FromForeign:
		named := contextNamed(v.Type)
		if named == nil || named.Obj().Pkg() == nil {
			return nil
		}
		if named.Obj().Pkg() != in.load.Types {
			src := m.loader.Source(named.Obj().Pkg().Path())
			if src == nil {
				return nil
			}
			in = m.model(src)
		}
		for _, c := range in.Contexts {
			if c.Name == named.Obj().Name() {
				return m.perRunIn(in, c, seen)
			}
		}
	}
	return nil
}

func (m *modeler) perRunIn(in *Package, c *ContextType, seen map[any]bool) *Provider {
	if seen[c] {
		return nil
	}
	seen[c] = true
	if c.By != nil {
		if c.By.Cleanup == NoCleanup { // it makes the context itself, and holds nothing
			return m.perRunOf(in, c.By.Params, seen)
		}
		return m.perRunBy(in, c.By, seen)
	}
	for _, f := range c.Fields {
		if p := m.perRun(in, f.Value, seen); p != nil {
			return p
		}
	}
	return nil
}

func (m *modeler) perRunBy(in *Package, p *Provider, seen map[any]bool) *Provider {
	if p.Scope == "task" {
		return p
	}
	if seen[p] {
		return nil
	}
	seen[p] = true
	return m.perRunOf(in, p.Params, seen)
}

func (m *modeler) perRunOf(in *Package, params []Value, seen map[any]bool) *Provider {
	for _, v := range params {
		if p := m.perRun(in, v, seen); p != nil {
			return p
		}
	}
	return nil
}
