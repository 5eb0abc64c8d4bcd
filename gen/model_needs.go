package gen

import "go/types"

// needs finds the needs of a context type's constructor, its own and those of
// the functions that it calls.
func (c *ContextType) needs() {
	v := Value{Source: FromContext, Context: c}
	c.Needs = needsOf(v)
	walkNeeds(v, func(Need) {}, func(p *Provider) { c.Providers = append(c.Providers, p) })
}

// needsOf returns the needs of a value: its own, and those of the functions that
// make it.
func needsOf(v Value) (needs []Need) {
	add := func(n Need) {
		for _, other := range needs {
			if other.Context == n.Context && types.Identical(other.Type, n.Type) {
				return
			}
		}
		needs = append(needs, n)
	}
	walkNeeds(v, add, func(*Provider) {})
	return needs
}

// walkNeeds calls add for each need of a value, and made for each provider that takes
// part in making it, after those of its parameters.
func walkNeeds(v Value, add func(Need), made func(*Provider)) {
	seen := map[any]bool{}
	var visit func(v Value)
	inContext := func(c *ContextType) {
		if c.By != nil {
			visit(Value{Source: FromProvider, Provider: c.By})
		}
		for _, f := range c.Fields {
			visit(f.Value)
		}
	}
	visit = func(v Value) {
		switch v.Source {
		case FromSupply:
			add(Need{Type: v.Type})
		case FromForeign:
			add(Need{Type: v.Type, Context: true})
		case FromContext:
			if !seen[v.Context] {
				seen[v.Context] = true
				inContext(v.Context)
			}
		case FromProvider:
			if !seen[v.Provider] {
				seen[v.Provider] = true
				for _, p := range v.Provider.Params {
					visit(p)
				}
				made(v.Provider)
			}
		}
	}
	visit(v)
}
