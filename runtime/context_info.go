package runtime

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// ContextInfo describes a registered context type: a copy.
type ContextInfo struct {
	// Type is the type as Go writes it, such as "*main.IndexContext".
	Type string `json:"type"`
	// Tasks are the names of the tasks that get one.
	Tasks []string `json:"tasks,omitempty"`
	// Values are its fields, but for other context types, and those left alone.
	Values []ContextValue `json:"values,omitempty"`
	// Contexts are the registered context types that it is made with.
	Contexts []string `json:"contexts,omitempty"`
	// Providers make values of its fields, or are called with what others make, each
	// after those that it is called with.
	Providers []ProviderInfo `json:"providers,omitempty"`
	// Supplies are the types of the values that the app must be given for it, by
	// [Supply].
	Supplies []string `json:"supplies,omitempty"`
}

// ProviderInfo describes a provider: a function that makes values for contexts.
type ProviderInfo struct {
	// Name is the package and the function, such as "main.openDB".
	Name string `json:"name"`
	Type string `json:"type"`
	// Scope is how long a value lives: "process", "worker" or "task".
	Scope string `json:"scope"`
	// Providers, Contexts and Supplies are what it is called with: names of other
	// providers, and types.
	Providers []string `json:"providers,omitempty"`
	Contexts  []string `json:"contexts,omitempty"`
	Supplies  []string `json:"supplies,omitempty"`
}

// infoOf describes a provider.
func infoOf(p *provider) ProviderInfo {
	i := ProviderInfo{Name: p.name, Type: p.typ.String(), Scope: p.scope.String()}
	for _, n := range p.needs {
		switch {
		case n.provider != nil:
			i.Providers = append(i.Providers, n.provider.name)
		case n.context != nil:
			i.Contexts = append(i.Contexts, n.context.String())
		case n.supply != nil:
			i.Supplies = append(i.Supplies, n.supply.String())
		}
	}
	return i
}

// ContextValue is what a task finds in a field of its context.
type ContextValue struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Supplied: the field has a value given with [Supply], else one of a provider: By
	// is its name, or what the field's tag calls it, empty if it is not known.
	Supplied bool   `json:"supplied,omitempty"`
	By       string `json:"by,omitempty"`
	// Lazy: the provider is asked when the task calls the field.
	Lazy bool `json:"lazy,omitempty"`
}

// Contexts returns the registered context types by their names, with the tasks that
// get them. It is never nil, and may be called concurrently.
func (a *App) Contexts() []ContextInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	infos := make([]ContextInfo, 0, len(a.contexts))
	for t, reg := range a.contexts {
		c := ContextInfo{Type: t.String()}
		for _, r := range a.tasks {
			if r.context == t {
				c.Tasks = append(c.Tasks, r.def.Name)
			}
		}
		for _, n := range reg.needs {
			switch {
			case n.context != nil:
				c.Contexts = append(c.Contexts, n.context.String())
			case n.supply != nil:
				c.Supplies = append(c.Supplies, n.supply.String())
			case n.provider != nil:
				c.Providers = append(c.Providers, infoOf(n.provider))
			}
		}
		c.Values = a.contextValues(t)
		for i := range c.Values {
			c.Values[i].name(c.Providers)
		}
		slices.Sort(c.Tasks)
		infos = append(infos, c)
	}
	slices.SortFunc(infos, func(x, y ContextInfo) int { return cmp.Compare(x.Type, y.Type) })
	return infos
}

// name names the provider of a value, if there is one of the value's type.
func (v *ContextValue) name(providers []ProviderInfo) {
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
func (a *App) contextValues(t goType) (values []ContextValue) {
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
		values = append(values, ContextValue{
			Name: f.Name, Type: f.Type.String(), Supplied: supplied, By: by, Lazy: !supplied && f.Type.Kind() == reflect.Func,
		})
	}
	return values
}
