package web

import (
	"cmp"
	"slices"

	"github.com/taskctx/taskctx/runtime/inspect"
)

// contextRow is a context type of this process, as the graph's page shows it.
type contextRow struct {
	Type     string
	Tasks    []labelled
	Values   []contextValue
	Contexts []string
	Supplies []string
}

// contextValue is a field of a context: its name, its type, and the source of its value.
type contextValue struct{ Name, Type, From string }

func contextOf(c *inspect.ContextInfo) contextRow {
	r := contextRow{Type: clean(c.Type, maxName)}
	for _, name := range c.Tasks[:min(len(c.Tasks), 50)] {
		r.Tasks = append(r.Tasks, labelled{clean(name, maxName), filterLink(filter{Name: name})})
	}
	for _, v := range c.Values {
		r.Values = append(r.Values, contextValue{clean(v.Name, maxName), clean(v.Type, maxName), fromOf(&v)})
	}
	for _, t := range c.Contexts {
		r.Contexts = append(r.Contexts, clean(t, maxName))
	}
	for _, t := range c.Supplies {
		r.Supplies = append(r.Supplies, clean(t, maxName))
	}
	return r
}

// fromOf says where the value of a field is from.
func fromOf(v *inspect.ContextValue) string {
	from := "provided"
	switch {
	case v.Supplied:
		return "supplied"
	case v.By != "":
		from = "by " + clean(v.By, maxName)
	}
	if v.Lazy {
		from += ", when asked for"
	}
	return from
}

// providerRow is a provider of this process, as the graph's page shows it.
type providerRow struct {
	Name, Type, Scope string
	With              []madeWith
	Contexts          []string // those whose values it has part in
}

// madeWith is what a provider is called with: another provider, or a value of a type.
type madeWith struct {
	Name string
	Kind string // "supplied", "a context", or empty for a provider
}

// providersOf returns the providers of contexts, by their names.
func providersOf(contexts []inspect.ContextInfo) (rows []providerRow) {
	at := make(map[[2]string]int)
	for i := range contexts {
		for _, p := range contexts[i].Providers {
			key := [2]string{p.Name, p.Type}
			n, seen := at[key]
			if !seen {
				n = len(rows)
				at[key], rows = n, append(rows, rowOfProvider(&p))
			}
			rows[n].Contexts = append(rows[n].Contexts, clean(contexts[i].Type, maxName))
		}
	}
	slices.SortFunc(rows, func(x, y providerRow) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Type, y.Type)) })
	return rows
}

func rowOfProvider(p *inspect.ProviderInfo) providerRow {
	r := providerRow{Name: clean(p.Name, maxName), Type: clean(p.Type, maxName), Scope: p.Scope}
	for _, of := range []struct {
		kind  string
		names []string
	}{{"", p.Providers}, {"a context", p.Contexts}, {"supplied", p.Supplies}} {
		for _, name := range of.names {
			r.With = append(r.With, madeWith{clean(name, maxName), of.kind})
		}
	}
	return r
}
