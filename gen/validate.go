package gen

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// validate reports what is wrong with the model as a whole: names that clash,
// and providers that cannot be put in an order.
func validate(p *Package) {
	if p.load.Types == nil || p.empty() && len(p.Providers) == 0 {
		return
	}
	validateNames(p)
	validateDeclared(p)
	validatePredeclared(p)
	validateProviders(p)
}

// validateNames reports tasks of one name.
func validateNames(p *Package) {
	owner := map[string]*Task{}
	for _, t := range p.Tasks {
		for i, name := range append([]string{t.Name}, t.Aliases...) {
			first := owner[name]
			if first == nil {
				owner[name] = t
				continue
			}
			pos, end := t.directive.Func.Name.Pos(), t.directive.Func.Name.End()
			key := "name"
			if i > 0 {
				key = "alias"
			}
			for _, a := range t.directive.All(key) {
				if a.Value == name {
					pos, end = a.Pos, a.End
				}
			}
			d := p.report(pos, end, "duplicate-name", "give one of them another name=, and the old one as alias=",
				"two tasks are called %q: %s and %s", name, first.Func, t.Func)
			p.related(d, first.directive.Func.Name.Pos(), "%s", first.Func)
		}
	}
}

// exportedNames returns the exported names that are generated for a task.
func (t *Task) exportedNames() []string {
	return []string{"Enqueue" + upperFirst(t.Func), upperFirst(t.Func) + "Call"}
}

// validateDeclared reports exported names that the package declares already, or
// that two tasks would share.
func validateDeclared(p *Package) {
	declared := map[string]token.Pos{}
	for _, f := range p.load.Files {
		for name, pos := range declaredNames(f) {
			declared[name] = pos
		}
	}
	clash := func(name string, pos, end token.Pos, what string) {
		if other, ok := declared[name]; ok {
			d := p.report(pos, end, "name-clash", "rename one of them", "%s would be generated for %s, and is declared already",
				name, what)
			p.related(d, other, "%s", name)
		}
	}
	first := map[string]*Task{}
	for _, t := range p.Tasks {
		id := t.directive.Func.Name
		for _, name := range t.exportedNames() {
			clash(name, id.Pos(), id.End(), t.Func)
			if other := first[name]; other != nil {
				d := p.report(id.Pos(), id.End(), "name-clash", "rename one of the functions",
					"%s would be generated for both %s and %s", name, other.Func, t.Func)
				p.related(d, other.directive.Func.Name.Pos(), "%s", other.Func)
			}
			first[name] = t
		}
	}
	if pos, ok := declared[registerName]; ok {
		p.report(pos, pos+posLen(registerName), "name-clash", "rename it",
			"%s is generated for the package, and is declared already", registerName)
	}
}

// declaredNames returns the package-level names of a file, with where they are
// declared, and the names that it gives to imports.
func declaredNames(f *ast.File) map[string]token.Pos {
	names := map[string]token.Pos{}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name != "init" {
				names[d.Name.Name] = d.Name.Pos()
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = s.Name.Pos()
				case *ast.ValueSpec:
					for _, id := range s.Names {
						names[id.Name] = id.Pos()
					}
				}
			}
		}
	}
	delete(names, "_")
	return names
}

// validatePredeclared reports predeclared names that the package declares anew
// and that generated code needs.
func validatePredeclared(p *Package) {
	for _, f := range p.load.Files {
		for name, pos := range declaredNames(f) {
			if types.Universe.Lookup(name) != nil {
				p.report(pos, pos+posLen(name), "predeclared", "rename it",
					"%s hides the %s of Go, which generated code uses", name, name)
			}
		}
	}
}

// validateProviders reports cycles, and values that outlive what they are made
// from.
func validateProviders(p *Package) {
	done := map[*Provider]bool{}
	var path []*Provider
	var visit func(pr *Provider)
	visit = func(pr *Provider) {
		if i := slices.Index(path, pr); i >= 0 {
			reportCycle(p, path[i:])
			return
		}
		if done[pr] {
			return
		}
		path = append(path, pr)
		for i, v := range pr.Params {
			if v.Provider == nil {
				continue
			}
			if lifetime(v.Provider.Scope) < lifetime(pr.Scope) {
				field := pr.obj.Signature().Params().At(pr.obj.Signature().Params().Len() - len(pr.Params) + i)
				d := p.report(field.Pos(), field.Pos()+posLen(field.Name()), "scope",
					"make "+pr.Func+" //task:provide "+v.Provider.Scope+", or "+v.Provider.Func+" //task:provide "+pr.Scope,
					"%s makes values once per %s, from a %s that lives only as long as a %s",
					pr.Func, pr.Scope, p.typeName(v.Type), v.Provider.Scope)
				p.related(d, v.Provider.obj.Pos(), "%s, once per %s", v.Provider.Func, v.Provider.Scope)
			}
			visit(v.Provider)
		}
		path = path[:len(path)-1]
		done[pr] = true
	}
	for _, pr := range p.Providers {
		visit(pr)
	}
}

func lifetime(scope string) int { return slices.Index([]string{"task", "worker", "process"}, scope) }

func reportCycle(p *Package, cycle []*Provider) {
	var names []string
	for _, pr := range cycle {
		names = append(names, pr.Func)
	}
	id := cycle[0].directive.Func.Name
	const fix = "take one of the values as a supply, by a type that nothing provides"
	if len(cycle) == 1 {
		p.report(id.Pos(), id.End(), "provider-cycle", fix, "the provider %s needs a %s, which it makes itself",
			names[0], p.typeName(cycle[0].Type))
		return
	}
	d := p.report(id.Pos(), id.End(), "provider-cycle", fix, "providers need each other: %s -> %s",
		strings.Join(names, " -> "), names[0])
	for _, pr := range cycle[1:] {
		p.related(d, pr.obj.Pos(), "%s", pr.Func)
	}
}
