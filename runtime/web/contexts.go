package web

import "github.com/taskctx/taskctx/runtime"

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

func contextOf(c *runtime.ContextInfo) contextRow {
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
func fromOf(v *runtime.ContextValue) string {
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
