package gen

import (
	"go/types"

	"github.com/dave/jennifer/jen"
)

// register writes RegisterTasks.
func (r *renderer) register() {
	s := r.local()
	app := s.pick("app")
	var body []jen.Code
	for _, c := range r.Contexts {
		args := []jen.Code{jen.Id(app), jen.Id(r.constructor(c))}
		args = append(args, r.needs(c.Needs)...)
		for _, p := range c.Providers {
			args = append(args, r.needProvider(p))
		}
		body = append(body, r.glue("RegisterContext").Call(args...))
	}
	body = append(body, r.registerEach(app)...)
	r.taskTables()
	r.comment(registerName + " adds this package's tasks and context types to " + app + ".")
	r.file.Func().Id(registerName).Params(jen.Id(app).Op("*").Add(r.rt("App"))).Block(body...)
	r.file.Line()
}

// registerEach writes the registration of the tasks: a table for each type of
// context, and a call for each method, since its receiver may be a need of its own.
func (r *renderer) registerEach(app string) (calls []jen.Code) {
	for _, t := range r.tables {
		calls = append(calls, r.glue("RegisterTasks").Call(jen.Id(app), jen.Id(t.name)))
	}
	for _, t := range r.Tasks {
		if t.Receiver != nil {
			args := append([]jen.Code{jen.Id(app), r.definitionOf(t), r.argsOf(t)}, r.needs(needsOf(*t.Receiver))...)
			calls = append(calls, r.glue("RegisterTask").Call(args...))
		}
	}
	return calls
}

// taskTables writes the tables. They are variables, since the compiler makes data of
// those, and code of a table within a function.
func (r *renderer) taskTables() {
	for _, table := range r.tables {
		var entries []jen.Code
		for _, t := range table.tasks {
			entries = append(entries, jen.Values(jen.Id("Task").Op(":").Add(r.definitionOf(t)), jen.Id("Args").Op(":").Add(r.argsOf(t))))
		}
		r.file.Var().Id(table.name).Op("=").Index().Add(r.glue("Entry").Types(r.contextOf(table.context))).Add(lines(entries))
		r.file.Line()
	}
}

func (r *renderer) definitionOf(t *Task) *jen.Statement { return jen.Op("&").Id(r.tasks[t].task) }

func (r *renderer) argsOf(t *Task) *jen.Statement {
	return jen.Parens(jen.Op("*").Id(r.tasks[t].args)).Parens(jen.Nil())
}

// contextOf writes the type of a task's context, nil if it takes the runtime's.
func (r *renderer) contextOf(t types.Type) *jen.Statement {
	if t == nil {
		return jen.Op("*").Add(r.rt("Context"))
	}
	return r.typ(t)
}

// needProvider writes the need of a provider, with those of what it is called with.
func (r *renderer) needProvider(p *Provider) *jen.Statement {
	args := []jen.Code{jen.Id(r.providers[p].key)}
	for _, v := range p.Params {
		switch v.Source {
		case FromSupply:
			args = append(args, r.glue("NeedSupply").Types(r.typ(v.Type)).Call())
		case FromProvider:
			args = append(args, r.glue("NeedProvider").Call(jen.Id(r.providers[v.Provider].key)))
		case FromContext:
			args = append(args, r.glue("NeedContext").Types(jen.Op("*").Id(v.Context.Name)).Call())
		case FromForeign:
			args = append(args, r.glue("NeedContext").Types(r.typ(v.Type)).Call())
		}
	}
	return r.glue("NeedProvider").Call(args...)
}
