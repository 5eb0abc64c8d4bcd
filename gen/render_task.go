package gen

import (
	"go/build/constraint"
	"go/token"
	"strconv"
	"strings"

	"github.com/dave/jennifer/jen"

	"github.com/taskctx/taskctx/gen/wiretype"
)

// task writes all that is generated for a task but its name and its
// registration.
func (r *renderer) task(t *Task) {
	r.enqueue(t)
	r.call(t)
	r.args(t)
	r.definition(t)
}

// taskNames writes a constant for the name of each task, with the file that has
// its function.
func (r *renderer) taskNames(of string, tasks []*Task) {
	if len(tasks) == 0 {
		return
	}
	r.comment("The names of " + of + " on the wire, with the files that have their functions.")
	r.file.Const().DefsFunc(func(g *jen.Group) {
		for _, t := range tasks {
			g.Id(r.tasks[t].name).Op("=").Lit(t.Name).Comment(t.file)
		}
	})
	r.file.Line()
}

// enqueue writes the Enqueue function.
func (r *renderer) enqueue(t *Task) {
	n := r.tasks[t]
	s := r.local()
	params := s.params(t, n.call)
	ctx, q, opts := s.beside("ctx"), s.beside("q"), s.beside("opts")
	in := []jen.Code{
		jen.Id(ctx).Add(r.qual(contextPackage, "Context")),
		jen.Id(q).Add(r.rt("Enqueuer")),
	}
	in = append(in, r.declare(t, params)...)
	pass := ids(params)
	in = append(in, jen.Id(opts).Op("...").Add(r.rt("Option")))
	pass = append(pass, jen.Id(opts).Op("..."))
	r.comment(n.enqueue + " enqueues a call of " + t.link() + ".")
	r.doc(t.Doc)
	r.file.Func().Id(n.enqueue).Params(in...).
		Params(jen.Op("*").Add(r.rt("Handle")).Types(r.result(t)), jen.Error()).
		Block(jen.Return(jen.Id(n.call).Call(pass...).Dot("Enqueue").Call(jen.Id(ctx), jen.Id(q))))
	r.file.Line()
}

// call writes the Call function.
func (r *renderer) call(t *Task) {
	n := r.tasks[t]
	s := r.local()
	params := s.params(t, r.neededByCall(t)...)
	opts, f := s.beside("opts"), s.beside("f")
	in := append(r.declare(t, params), jen.Id(opts).Op("...").Add(r.rt("Option")))
	body := []jen.Code{jen.Id(f).Op(":=").Add(r.wire("Encode")).Call()}
	for i, p := range t.Params {
		method, convert := wiretype.Kind(p.Type)
		value := jen.Op("&").Id(params[i])
		if p.Inline {
			body = append(body, jen.Id(f).Dot("Inline").Call(jen.Lit(p.Name), value))
			continue
		}
		if convert != "" {
			value = jen.Parens(jen.Op("*").Add(r.predeclared(convert))).Parens(value)
		}
		body = append(body, jen.Id(f).Dot(method).Call(jen.Lit(p.Key), value))
	}
	made := r.rt("NewCall").Call(jen.Op("&").Id(n.task), jen.Id(f), jen.Id(opts))
	body = append(body, jen.Return(r.rt("Call").Types(r.result(t)).Values(jen.Id("AnyCall").Op(":").Add(made))))
	r.comment(n.call + " is a call of " + t.link() + " as a value: for batches, schedules and tests.")
	r.file.Func().Id(n.call).Params(in...).Add(r.rt("Call")).Types(r.result(t)).Block(body...)
	r.file.Line()
}

// neededByCall returns the names that the body of the Call function refers to,
// which no parameter may hide.
func (r *renderer) neededByCall(t *Task) []string {
	rt, _ := r.importName(runtimePackage)
	wire, _ := r.importName(wirePackage)
	needed := []string{r.tasks[t].task, rt, wire}
	for _, p := range t.Params {
		if _, convert := wiretype.Kind(p.Type); convert != "" {
			needed = append(needed, convert)
		}
	}
	if t.Result != nil {
		needed = append(needed, r.namesIn(t.Result)...)
	}
	return needed
}

// link is how a comment refers to the task's function.
func (t *Task) link() string {
	if t.client != nil {
		return t.Func + " of package " + t.client.Of.Name
	}
	if typ, method, ok := strings.Cut(t.Func, "."); token.IsExported(typ) && (!ok || token.IsExported(method)) {
		return "[" + t.Func + "]"
	}
	return t.Func
}

// declare writes the declarations of the task's parameters, under these names.
// Those that the user declared together stay so.
func (r *renderer) declare(t *Task, names []string) []jen.Code {
	var list []jen.Code
	for i, p := range t.Params {
		id := jen.Id(names[i])
		if i+1 == len(t.Params) || !t.Params[i+1].joined {
			id.Add(r.typ(p.Type))
		}
		list = append(list, id)
	}
	return list
}

func ids(names []string) []jen.Code {
	var list []jen.Code
	for _, n := range names {
		list = append(list, jen.Id(n))
	}
	return list
}

// params takes the names of the task's parameters as they are, except where
// that would hide one of the names that the function's body needs.
func (s *scope) params(t *Task, needed ...string) []string {
	for _, p := range t.Params {
		s.use(p.Name)
	}
	for _, n := range needed {
		s.use(n)
	}
	var names []string
	for _, p := range t.Params {
		name := p.Name
		for _, n := range needed {
			if n == name {
				name = s.beside(name)
			}
		}
		names = append(names, name)
	}
	return names
}

// runName is the method of the struct of a task's arguments.
const runName = "Run"

// fields returns the names of the fields that hold the arguments: those of the
// parameters, unless the method has it.
func (t *Task) fields() []string {
	used := map[string]bool{runName: true}
	var names []string
	for _, p := range t.Params {
		name := p.Name
		for used[name] {
			name += "Value"
		}
		used[name] = true
		names = append(names, name)
	}
	return names
}

// argsStruct writes the struct of the arguments, and returns the names of its
// fields.
func (r *renderer) argsStruct(t *Task) []string {
	names := t.fields()
	var fields []jen.Code
	for i, p := range t.Params {
		fields = append(fields, jen.Id(names[i]).Add(r.typ(p.Type)))
	}
	r.file.Type().Id(r.tasks[t].args).Struct(fields...)
	r.file.Line()
	return names
}

// args writes the struct of the arguments, and the method that calls the
// function with them.
func (r *renderer) args(t *Task) {
	n := r.tasks[t]
	s := r.local()
	names := r.argsStruct(t)
	recv, ctx := s.pick("a"), s.pick("ctx")
	self := jen.Id(recv).Op("*").Id(n.args)
	if len(t.Params) == 0 {
		self = jen.Op("*").Id(n.args)
	}
	result := "_"
	if t.Result != nil {
		result = s.pick("result")
	}
	context, err := t.Context, ""
	call, body := jen.Id(t.Func), []jen.Code(nil)
	if t.Receiver != nil {
		if isPlainContext(context) {
			context = nil // the receiver comes from the run: a *runtime.Context is a context.Context, too
		}
		err = s.pick("err")
		call, body = r.receiver(t, s, ctx, err)
	}
	body = append(body, r.run(t, s, ctx, result, err, r.passed(t, call, ctx, recv, names))...)
	r.file.Func().Params(self).Id(runName).
		Params(jen.Id(ctx).Add(r.contextOf(context)), jen.Id(result).Op("*").Add(r.rt("Result"))).
		Error().Block(body...)
	r.file.Line()
}

// result is the type of the task's result.
func (r *renderer) result(t *Task) *jen.Statement {
	if t.Result == nil {
		return r.rt("Void")
	}
	return r.typ(t.Result)
}

// doc writes the user's comment after a line of our own. The text stays a
// comment: each line is written behind slashes and a space.
func (r *renderer) doc(text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	r.file.Comment("//")
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case constraint.IsPlusBuild("// " + line):
			// The formatter would make a build constraint of the file of it.
			r.comment(strconv.Quote(line))
		case line == "":
			r.file.Comment("//")
		case line[0] == '\t':
			r.file.Comment("//" + line)
		default:
			r.comment(line)
		}
	}
}

// needs writes the task's requirements on the app.
func (r *renderer) needs(needs []Need) (args []jen.Code) {
	for _, n := range needs {
		kind := "NeedSupply"
		if n.Context {
			kind = "NeedContext"
		}
		args = append(args, r.glue(kind).Types(r.typ(n.Type)).Call())
	}
	return args
}

// passed writes the call of the user's function with the fields of the receiver.
func (r *renderer) passed(t *Task, fn *jen.Statement, ctx, recv string, fields []string) *jen.Statement {
	pass := []jen.Code{jen.Id(ctx)}
	for i, name := range fields {
		arg := jen.Id(recv).Dot(name)
		if t.Variadic && i == len(fields)-1 {
			arg.Op("...")
		}
		pass = append(pass, arg)
	}
	return fn.Call(pass...)
}

// receiver writes the statements that get the receiver of a method, and the
// method's name behind it.
func (r *renderer) receiver(t *Task, s *scope, ctx, err string) (method *jen.Statement, body []jen.Code) {
	name := s.pick(receiverVar(t.directive.Func))
	handle := ctx
	if t.Receiver.Source == FromProvider {
		handle = strings.Join(append([]string{ctx}, handlePath(t.Context)...), ".")
	}
	return jen.Id(name).Dot(t.obj.Name()), r.fetch(*t.Receiver, handle, name, err)
}

// run writes the body that calls the user's function, and gives its results to
// the result.
func (r *renderer) run(t *Task, s *scope, ctx, result, err string, call *jen.Statement) []jen.Code {
	switch {
	case t.Elem != nil && t.Each == "":
		call = r.rt("Collect").Call(call)
	case t.Elem != nil && t.EachResult:
		call = r.rt("Each").Call(jen.Id(ctx), call, jen.Id(t.Each))
	case t.Elem != nil:
		call = r.rt("EachDo").Call(jen.Id(ctx), call, jen.Id(t.Each))
	}
	if t.Result == nil {
		return []jen.Code{jen.Return(call)}
	}
	if plain, convert := wiretype.Kind(t.Result); plain != "JSON" && convert == "" {
		return []jen.Code{jen.Return(jen.Id(result).Dot(plain).Call(call))}
	}
	v := s.pick("v")
	if err == "" {
		err = s.pick("err")
	}
	return []jen.Code{
		jen.List(jen.Id(v), jen.Id(err)).Op(":=").Add(call),
		jen.Return(jen.Id(result).Dot("JSON").Call(jen.Op("&").Id(v), jen.Id(err))),
	}
}
