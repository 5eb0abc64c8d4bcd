package gen

import (
	"go/types"
	"slices"

	"github.com/dave/jennifer/jen"
)

const registerClientName = "RegisterClient"

// client writes what enqueues the tasks of another package.
func (r *renderer) client(c *Client) {
	r.taskNames("the tasks of "+c.Of.Path, c.Tasks)
	for _, t := range c.Tasks {
		r.enqueue(t)
		r.call(t)
		r.argsStruct(t)
		r.definition(t)
	}
}

// registerClients writes RegisterClient.
func (r *renderer) registerClients() {
	app := r.local().pick("app")
	var body []jen.Code
	for _, c := range r.Clients {
		for _, t := range c.Tasks {
			n := r.tasks[t]
			args := jen.Parens(jen.Op("*").Id(n.args)).Parens(jen.Nil())
			body = append(body, r.glue("RegisterClient").Call(jen.Id(app), jen.Op("&").Id(n.task), args))
		}
	}
	r.comment(registerClientName + " tells " + app + " of the tasks that this package is a client of, so that it can make " +
		"calls by their names, as the API of runtime/web does. It does not run them.")
	r.file.Func().Id(registerClientName).Params(jen.Id(app).Op("*").Add(r.rt("App"))).Block(body...)
	r.file.Line()
}

// isClientOf reports whether the package is a client of the other, so that it
// cannot name that one's types.
func (r *renderer) isClientOf(other *types.Package) bool {
	return slices.ContainsFunc(r.Clients, func(c *Client) bool { return c.Of.load.Types == other })
}
