package gen

import (
	"bytes"
	"fmt"
	"go/types"
	"strings"

	"github.com/dave/jennifer/jen"
)

// renderer writes the generated file of one package.
type renderer struct {
	*Package
	*names
	file    *jen.File
	used    map[string]bool // predeclared names
	lengths map[*types.Array]length
}

// rendered is a generated file before it is checked and formatted.
type rendered struct {
	raw    []byte
	expect []string // what it declares
}

// render writes the generated file of the package.
func render(p *Package) (*rendered, error) {
	r := newRenderer(p)
	r.all()
	var raw bytes.Buffer
	if err := r.file.Render(&raw); err != nil {
		return nil, fmt.Errorf("render %s: %w", p.Path, err)
	}
	return &rendered{raw: raw.Bytes(), expect: r.expect()}, nil
}

// predeclaredOf returns the predeclared names that the generated code of the
// package uses, if it uses them anywhere.
func predeclaredOf(p *Package) map[string]bool {
	r := newRenderer(p)
	r.all()
	for _, name := range ownPredeclared {
		r.used[name] = true
	}
	return r.used
}

// ownPredeclared are the predeclared names that generated code uses for all
// types. The golden name-predeclared declares all others anew.
var ownPredeclared = []string{"error", "false", "nil", "string", "true"}

func newRenderer(p *Package) *renderer {
	return &renderer{
		Package: p, names: newNames(p), file: jen.NewFilePathName(p.Path, p.Name), used: map[string]bool{},
		lengths: lengthsOf(p),
	}
}

// predeclared refers to a predeclared name.
func (r *renderer) predeclared(name string) *jen.Statement {
	r.used[name] = true
	return jen.Id(name)
}

// all writes the file.
func (r *renderer) all() {
	p := r.Package
	r.file.NoFormat = true
	r.file.HeaderComment(Header)
	if p.constraint != "" {
		r.file.HeaderComment("//go:build " + p.constraint)
	}
	r.comment("This file and the runtime differ in version if this does not compile: run go generate.")
	r.file.Const().Id("_").Op("=").Add(r.glue("RunGoGenerateIfUndefinedV5"))
	r.file.Line()
	r.taskNames("this package's tasks", p.Tasks)
	for _, t := range p.Tasks {
		r.task(t)
	}
	for _, c := range p.Clients {
		r.client(c)
	}
	if len(p.Clients) > 0 {
		r.registerClients()
	}
	if p.serves() {
		r.register()
	}
	for _, c := range p.Contexts {
		r.context(c)
	}
	for _, pr := range p.usedProviders() {
		r.provider(pr)
	}
}

// usedProviders returns the providers that a context type needs, in the order
// of the source.
func (p *Package) usedProviders() []*Provider {
	used := map[*Provider]bool{}
	var use func(v Value)
	use = func(v Value) {
		if v.Provider == nil || used[v.Provider] {
			return
		}
		used[v.Provider] = true
		for _, param := range v.Provider.Params {
			use(param)
		}
	}
	for _, t := range p.Tasks {
		if t.Receiver != nil {
			use(*t.Receiver)
		}
	}
	for _, c := range p.Contexts {
		use(Value{Provider: c.By})
		for _, f := range c.Fields {
			use(f.Value)
		}
	}
	var list []*Provider
	for _, pr := range p.Providers {
		if used[pr] {
			list = append(list, pr)
		}
	}
	return list
}

const maxComment = 116

// comment adds a line of comment at package level, or more if it is long.
func (r *renderer) comment(line string) {
	for len(line) > maxComment {
		i := strings.LastIndexByte(line[:maxComment], ' ')
		if i <= 0 {
			break
		}
		r.file.Comment("// " + line[:i])
		line = line[i+1:]
	}
	r.file.Comment("// " + line)
}

// rt refers to a name of the runtime.
func (r *renderer) rt(name string) *jen.Statement { return r.qual(runtimePackage, name) }

// wire refers to a name of the payload's package.
func (r *renderer) wire(name string) *jen.Statement { return r.qual(wirePackage, name) }

// glue refers to a name of the package that registers tasks.
func (r *renderer) glue(name string) *jen.Statement { return r.qual(gluePackage, name) }

// The packages that generated code refers to beside those of the user's types.
var (
	runtimePackage = types.NewPackage(runtimePath, "runtime")
	wirePackage    = types.NewPackage(runtimePath+"/wire", "wire")
	gluePackage    = types.NewPackage(runtimePath+"/glue", "glue")
	enginePackage  = types.NewPackage(runtimePath+"/engine", "engine")
	contextPackage = types.NewPackage("context", "context")
	timePackage    = types.NewPackage("time", "time")
)

// qual refers to a name of a package.
func (r *renderer) qual(pkg *types.Package, name string) *jen.Statement {
	if pkg.Path() == r.Path {
		return jen.Id(name)
	}
	local, alias := r.importName(pkg)
	if alias {
		r.file.ImportAlias(pkg.Path(), local)
	} else {
		r.file.ImportName(pkg.Path(), local)
	}
	return jen.Qual(pkg.Path(), name)
}

// lines writes a composite literal's elements, each on a line of its own.
func lines(items []jen.Code) *jen.Statement {
	return jen.Custom(jen.Options{Open: "{", Close: "}", Separator: ",", Multi: true}, items...)
}
