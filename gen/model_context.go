package gen

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
)

// marked adds the context type of a directive on a struct.
func (b *builder) marked(d *annotations.Directive) {
	name := d.Type.Name
	obj, ok := b.object(name.Name).(*types.TypeName)
	if ok && b.declaredTwice(obj) {
		return
	}
	if !ok || obj.Pos() != name.Pos() {
		b.report(name.Pos(), name.End(), "redeclared", "", "%s is declared twice in this package", name.Name)
		return
	}
	if d.Type.TypeParams != nil {
		b.report(d.Type.TypeParams.Pos(), d.Type.TypeParams.End(), "generic-context", "write one context type for each",
			"the context type %s has type parameters", name.Name)
		return
	}
	named, ok := obj.Type().(*types.Named)
	if ok && !isStruct(named) && !hasInvalid(named) {
		b.bad[obj] = true
		b.report(d.Slash, d.End, "wrong-target", "it belongs on a function or a struct type",
			"//task:%s stands on type %s, which is no struct type", d.Verb, name.Name)
		return
	}
	if !ok || !embedsContext(named) {
		b.bad[obj] = true
		b.report(name.Pos(), name.End(), "no-embedded-context", "embed *runtime.Context in it",
			"%s is marked as a context type, and embeds no *runtime.Context", name.Name)
		return
	}
	b.context(named)
}

// declaredTwice reports, once, a context type that the package declares twice.
func (b *builder) declaredTwice(obj *types.TypeName) bool {
	again := b.again[obj.Name()]
	if again != nil && !b.bad[obj] {
		b.bad[obj] = true
		name := again.Name
		d := b.report(name.Pos(), name.End(), "redeclared", "", "the context type %s is declared twice in this package", name.Name)
		b.related(d, b.types[name.Name].Name.Pos(), "the other one")
	}
	return again != nil
}

// useContext adds the context type of a task's first parameter.
func (b *builder) useContext(t types.Type, at ast.Node) {
	named := contextNamed(t)
	if named == nil {
		return
	}
	if named.TypeArgs().Len() > 0 {
		b.report(at.Pos(), at.End(), "generic-context", "write one context type for each",
			"the context type %s has type parameters", b.typeName(named))
		return
	}
	if named.Obj().Pkg() == b.load.Types {
		b.context(named)
		return
	}
	b.registered(named, at)
}

// registered checks that the package of a foreign context type registers it,
// if its source is at hand. Otherwise App.Start finds out.
func (b *builder) registered(named *types.Named, at ast.Node) {
	pkg := named.Obj().Pkg()
	src := b.modeler.loader.Source(pkg.Path())
	if src == nil || !src.Module.Main {
		return
	}
	for _, c := range b.modeler.model(src).Contexts {
		if c.Name == named.Obj().Name() {
			return
		}
	}
	if len(b.modeler.model(src).diags) > 0 {
		return // perhaps it would be registered
	}
	d := b.report(at.Pos(), at.End(), "unregistered-context",
		"write //task:context above "+named.Obj().Name()+", and run taskgen for package "+pkg.Name(),
		"package %s does not register its context type %s", pkg.Name(), named.Obj().Name())
	b.related(d, named.Obj().Pos(), "%s is declared here", named.Obj().Name())
}

// context returns the model of a context type of this package, nil if it has
// mistakes, which are reported once.
func (b *builder) context(named *types.Named) *ContextType {
	obj := named.Obj()
	if c := b.contexts[obj]; c != nil || b.bad[obj] {
		return c
	}
	spec := b.types[obj.Name()]
	if spec == nil || obj.Parent() != b.load.Types.Scope() {
		b.bad[obj] = true
		return nil
	}
	if b.declaredTwice(obj) {
		return nil
	}
	c := &ContextType{Name: obj.Name(), Type: named, pos: obj.Pos()}
	before := len(b.diags)
	if msg, fix := notContext(named, b.load.Types); msg != "" {
		b.report(spec.Name.Pos(), spec.Name.End(), "not-a-context", fix, "%s is no context.Context: %s", c.Name, msg)
		b.bad[obj] = true
		return nil
	}
	b.contexts[obj] = c
	if p := b.providerOf(types.NewPointer(named)); p != nil {
		b.ambiguous(p.Type, spec.Name, "the context type "+c.Name, "leave all but one of them out")
		c.By = p
	} else {
		b.building[obj] = true
		b.fields(c, named, spec)
		delete(b.building, obj)
	}
	if len(b.diags) > before {
		b.bad[obj] = true
		return c
	}
	b.Contexts = append(b.Contexts, c)
	return c
}

// methodsOfContext are the methods that a context type must have, with their
// types.
var methodsOfContext = []struct{ name, typ string }{
	{"Deadline", "func() (time.Time, bool)"},
	{"Done", "func() <-chan struct{}"},
	{"Err", "func() error"},
	{"Value", "func(any) any"},
}

// notContext says why a struct that embeds a context is none itself, and gives
// the mend.
func notContext(named *types.Named, pkg *types.Package) (msg, fix string) {
	for _, m := range methodsOfContext {
		obj, index, _ := types.LookupFieldOrMethod(types.NewPointer(named), true, pkg, m.name)
		switch obj := obj.(type) {
		case nil:
			if index != nil {
				return "it embeds more than one context at the same depth, so that " + m.name + " is ambiguous",
					"embed *runtime.Context in it directly, or give all but one of the contexts a field name"
			}
		case *types.Func:
			if got := plainSignature(obj.Signature()); got != m.typ {
				return "its method " + m.name + " is " + got + ", not " + m.typ, "rename the method"
			}
		case *types.Var:
			return "its field " + m.name + " hides the method of context.Context", "rename the field"
		}
	}
	return "", ""
}

// plainSignature writes a signature without its parameters' names.
func plainSignature(sig *types.Signature) string {
	list := func(t *types.Tuple) string {
		var parts []string
		for v := range t.Variables() {
			parts = append(parts, types.TypeString(v.Type(), nil))
		}
		return strings.Join(parts, ", ")
	}
	res := list(sig.Results())
	if sig.Results().Len() != 1 {
		res = "(" + res + ")"
	}
	return strings.TrimSpace("func(" + strings.ReplaceAll(list(sig.Params()), "interface{}", "any") + ") " +
		strings.ReplaceAll(res, "interface{}", "any"))
}

// meant reports whether a function that fits has a provider directive, but was
// reported and so is no provider. A field that it would fill is then not
// reported too.
func (b *builder) meant(fits func(*ast.FuncDecl, *types.Func) bool) bool {
	for _, file := range b.load.Files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || f.Doc == nil || !slices.ContainsFunc(f.Doc.List, func(c *ast.Comment) bool {
				return strings.HasPrefix(c.Text, "//task:prov")
			}) {
				continue
			}
			obj, ok := b.object(f.Name.Name).(*types.Func)
			good := slices.ContainsFunc(b.Providers, func(p *Provider) bool { return p.Func == f.Name.Name })
			if ok && !good && fits(f, obj) {
				return true
			}
		}
	}
	return false
}

// makers returns the functions of the package that return the type first and
// have no directive: they may be meant as providers.
func (b *builder) makers(t types.Type) []*ast.FuncDecl {
	if _, ok := t.(*types.Basic); ok {
		return nil // it could mean anything
	}
	annotated := map[*ast.FuncDecl]bool{}
	for _, d := range b.found {
		annotated[d.Func] = true
	}
	var list []*ast.FuncDecl
	for _, file := range b.load.Files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || f.Type.TypeParams != nil || annotated[f] {
				continue
			}
			obj, ok := b.object(f.Name.Name).(*types.Func)
			if !ok || obj.Pos() != f.Name.Pos() || obj.Signature().Results().Len() == 0 {
				continue
			}
			if types.Identical(obj.Signature().Results().At(0).Type(), t) {
				list = append(list, f)
			}
		}
	}
	return list
}
