package web

import (
	"slices"
	"strings"

	"github.com/taskctx/taskctx/runtime/inspect"
)

// drawContexts is the picture of contexts: they are in the first column, then the
// providers of their values, then those that these call, and at last what the app is
// given.
func drawContexts(contexts []inspect.ContextInfo) drawing {
	n := needs{
		contexts: make(map[string]*slot), providers: make(map[string]*slot), supplies: make(map[string]*slot),
		seen: make(map[[2]*slot]bool),
	}
	for i := range contexts {
		c := &contexts[i]
		note := "context of " + many(int64(len(c.Tasks)), "task")
		if len(c.Tasks) == 1 {
			note = "context of " + clean(c.Tasks[0], maxName)
		}
		n.contexts[c.Type] = n.add(&slot{height: boxHeight, class: "g-context", name: c.Type, note: note})
	}
	deepest := n.addProviders(contexts)
	for i := range contexts {
		for _, t := range contexts[i].Supplies {
			if n.supplies[t] == nil && len(n.supplies) < graphNames {
				n.supplies[t] = n.add(&slot{
					column: deepest + 1, height: boxHeight, class: "g-supply", name: t, note: "supplied by the app",
				})
			}
		}
	}
	for i := range contexts {
		n.connectContext(&contexts[i])
	}
	return n.drawing()
}

// needs is a picture of contexts while it is made: their boxes by type, and those of
// providers by name.
type needs struct {
	sketch
	contexts, providers, supplies map[string]*slot
	seen                          map[[2]*slot]bool // the lines
}

// addProviders puts each provider behind those that call it, and returns the last of
// their columns.
func (n *needs) addProviders(contexts []inspect.ContextInfo) (deepest int) {
	depth := make(map[string]int)
	for i := range contexts {
		ps := contexts[i].Providers
		for at := len(ps) - 1; at >= 0; at-- { // each is after those that it calls
			p := &ps[at]
			depth[p.Name] = max(depth[p.Name], 1)
			for _, called := range p.Providers {
				depth[called] = max(depth[called], min(depth[p.Name]+1, graphDepth-1))
			}
		}
	}
	for i := range contexts {
		for _, p := range contexts[i].Providers {
			if n.providers[p.Name] != nil || len(n.providers) == graphNames {
				continue
			}
			deepest = max(deepest, depth[p.Name])
			n.providers[p.Name] = n.add(&slot{
				column: depth[p.Name], height: boxHeight, class: "g-provider", name: p.Name, note: "provides " + clean(p.Type, maxName),
			})
		}
	}
	return deepest
}

// connectContext leads lines from a context to what it has, and on.
func (n *needs) connectContext(c *inspect.ContextInfo) {
	from := n.contexts[c.Type]
	called := make(map[string]bool)
	for _, p := range c.Providers {
		for _, name := range p.Providers {
			called[name] = true
		}
		for _, t := range p.Supplies {
			called[t] = true
		}
	}
	for _, p := range c.Providers {
		provider := n.providers[p.Name]
		makes := func(v inspect.ContextValue) bool { return madeBy(&v, &p) }
		if !called[p.Name] || slices.ContainsFunc(c.Values, makes) {
			n.line(from, provider, "g-of")
		}
		for _, name := range p.Providers {
			n.line(provider, n.providers[name], "g-calls")
		}
		for _, t := range p.Supplies {
			n.line(provider, n.supplies[t], "g-of")
		}
		for _, t := range p.Contexts {
			n.line(provider, n.contexts[t], "g-calls")
		}
	}
	for _, t := range c.Supplies {
		given := func(v inspect.ContextValue) bool { return v.Supplied && v.Type == t }
		if !called[t] || slices.ContainsFunc(c.Values, given) {
			n.line(from, n.supplies[t], "g-of")
		}
	}
	for _, t := range c.Contexts {
		n.line(from, n.contexts[t], "g-calls")
	}
}

// madeBy reports whether a provider makes a value, as far as that is known.
func madeBy(v *inspect.ContextValue, p *inspect.ProviderInfo) bool {
	switch {
	case v.Supplied:
		return false
	case v.By != "":
		return v.By == p.Name || strings.HasSuffix(p.Name, "."+v.By)
	}
	return v.Type == p.Type || v.Lazy && v.Type == "func() ("+p.Type+", error)"
}

// line connects two boxes once, if both are in the picture.
func (n *needs) line(from, to *slot, class string) {
	if from == nil || to == nil || n.seen[[2]*slot{from, to}] {
		return
	}
	n.seen[[2]*slot{from, to}] = true
	n.connect(from, to, class, from.name+" → "+to.name)
}
