package runtime

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/link"
)

// infoOf describes a provider.
func infoOf(p *link.Provider) inspect.ProviderInfo {
	i := inspect.ProviderInfo{Name: p.Name, Type: p.Type.String(), Scope: p.Scope}
	for _, n := range p.Needs {
		switch {
		case n.Provider != nil:
			i.Providers = append(i.Providers, n.Provider.Name)
		case n.Context != nil:
			i.Contexts = append(i.Contexts, n.Context.String())
		case n.Supply != nil:
			i.Supplies = append(i.Supplies, n.Supply.String())
		}
	}
	return i
}

// Contexts returns the registered context types by their names, with the tasks that
// get them. It is never nil, and may be called concurrently.
func (a *App) Contexts() []inspect.ContextInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	infos := make([]inspect.ContextInfo, 0, len(a.contexts))
	for t, reg := range a.contexts {
		c := inspect.ContextInfo{Type: t.String()}
		for _, r := range a.tasks {
			if r.context == t {
				c.Tasks = append(c.Tasks, r.def.Name)
			}
		}
		for _, n := range reg.needs {
			switch {
			case n.Context != nil:
				c.Contexts = append(c.Contexts, n.Context.String())
			case n.Supply != nil:
				c.Supplies = append(c.Supplies, n.Supply.String())
			case n.Provider != nil:
				c.Providers = append(c.Providers, infoOf(n.Provider))
			}
		}
		c.Values = a.contextValues(t)
		for i := range c.Values {
			nameProvider(&c.Values[i], c.Providers)
		}
		slices.Sort(c.Tasks)
		infos = append(infos, c)
	}
	slices.SortFunc(infos, func(x, y inspect.ContextInfo) int { return cmp.Compare(x.Type, y.Type) })
	return infos
}

// nameProvider names the provider of a value, if there is one of the value's type.
func nameProvider(v *inspect.ContextValue, providers []inspect.ProviderInfo) {
	if v.Supplied || v.By != "" {
		return
	}
	of := 0
	for _, p := range providers {
		if v.Type == p.Type || v.Lazy && v.Type == "func() ("+p.Type+", error)" {
			v.By, of = p.Name, of+1
		}
	}
	if of > 1 {
		v.By = ""
	}
}

// contextValues returns what the fields of a context type have. The caller holds
// App.mu.
func (a *App) contextValues(t link.Type) (values []inspect.ContextValue) {
	s, ok := t.(reflect.Type)
	if !ok || s.Kind() != reflect.Pointer || s.Elem().Kind() != reflect.Struct {
		return nil
	}
	for f := range s.Elem().Fields() {
		_, context := a.contexts[f.Type]
		tag := f.Tag.Get("task")
		if context || f.Type == handleType || tag == "-" || f.Name == "_" {
			continue
		}
		by, _ := strings.CutPrefix(tag, "by=")
		supplied := tag == "supply"
		if supplied {
			by = ""
		}
		values = append(values, inspect.ContextValue{
			Name: f.Name, Type: f.Type.String(), Supplied: supplied, By: by, Lazy: !supplied && f.Type.Kind() == reflect.Func,
		})
	}
	return values
}
