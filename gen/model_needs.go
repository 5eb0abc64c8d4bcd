package gen

import "go/types"

// needs finds the needs of a context type's constructor, its own and those of
// the functions that it calls.
func (c *ContextType) needs() {
	c.Needs = needsOf(Value{Source: FromContext, Context: c})
}

// needsOf returns the needs of a value: its own, and those of the functions that
// make it.
func needsOf(v Value) (needs []Need) {
	seen := map[any]bool{}
	add := func(n Need) {
		for _, other := range needs {
			if other.Context == n.Context && types.Identical(other.Type, n.Type) {
				return
			}
		}
		needs = append(needs, n)
	}
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
			}
		}
	}
	visit(v)
	return needs
}
