package gen

import (
	"fmt"
	"go/token"
	"go/types"
	"go/version"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/gen/diag"
)

// validate reports faults of the model as a whole: names that clash, and
// providers that cannot be put in an order.
func validate(p *Package) {
	if p.load.Types == nil || p.empty() && len(p.Providers) == 0 {
		return
	}
	validateGo(p)
	validateNames(p)
	validateDeclared(p)
	validatePredeclared(p)
	validateProviders(p)
}

// minGo is the language version that generated code needs: it infers a type
// argument from the methods of another.
const minGo = "go1.21"

// validateGo reports a module in an older language, as a member of a workspace
// may be.
func validateGo(p *Package) {
	m := p.load.Module
	v := m.Go
	if v == "" {
		v = "1.16" // of a go.mod without one
	}
	if version.Compare("go"+v, minGo) >= 0 {
		return
	}
	p.diags = append(p.diags, diag.Diagnostic{
		Pos: m.GoLine, Code: "old-go",
		Message: fmt.Sprintf("the module %s is written in go %s, and generated code needs the language of 1.21", m.Path, v),
		Fix:     "raise its go line: go mod edit -go=1.26.0",
	})
}

// validateNames reports tasks of one name.
func validateNames(p *Package) {
	type owner struct {
		*Task
		claim claim
	}
	owners := map[string]owner{}
	for _, t := range p.Tasks {
		for i, name := range append([]string{t.Name}, t.Aliases...) {
			o := owner{t, claim{t.Func, i > 0, longName(served{wireName: wireName{Func: t.Func}, pkg: p.Path})}}
			first, taken := owners[name]
			if !taken {
				owners[name] = o
				continue
			}
			pos, end := t.named(name, i > 0)
			if first.Task == t {
				p.report(pos, end, "duplicate-name", "leave alias="+name+" out", "%s is called %q already", t.Func, name)
				continue
			}
			fix := otherName(name, o.claim, first.claim)
			if !o.claim.alias && !first.claim.alias {
				fix += "\nand alias= with the name that it had until now, if tasks wait under that"
			}
			d := p.report(pos, end, "duplicate-name", fix,
				"two tasks are called %q: %s and %s", name, first.Func, t.Func)
			p.related(d, first.directive.Func.Name.Pos(), "%s", first.Func)
		}
	}
}

// named returns the place where the task's directive gives it the name, else that
// of the function's name.
func (t *Task) named(name string, alias bool) (pos, end token.Pos) {
	key := "name"
	if alias {
		key = "alias"
	}
	for _, a := range t.directive.All(key) {
		if a.Value == name {
			return a.Pos, a.End
		}
	}
	return t.directive.Func.Name.Pos(), t.directive.Func.Name.End()
}

// exportedNames returns the exported names that are generated for a task.
func (t *Task) exportedNames() []string {
	name := upperFirst(ident(t.Func))
	return []string{"Enqueue" + name, name + "Call", name + "Task"}
}

// validatePredeclared reports predeclared names that generated code needs and
// the package declares anew.
func validatePredeclared(p *Package) {
	hidden := map[string]token.Pos{}
	for _, f := range p.declaredFiles() {
		if f.external || !p.beside(f) {
			continue
		}
		for name, pos := range declaredNames(f.tree) {
			if types.Universe.Lookup(name) != nil && !hidden[name].IsValid() {
				hidden[name] = pos
			}
		}
	}
	if len(hidden) == 0 || len(p.diags) > 0 || p.empty() {
		return
	}
	used := predeclaredOf(p)
	for name, pos := range hidden {
		if used[name] {
			p.report(pos, pos+posLen(name), "predeclared", "rename it",
				"%s hides the %s of Go, which generated code uses", name, name)
		}
	}
}

// validateProviders reports cycles, and values that outlive the values they
// are made from.
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
			if !v.Lazy && lifetime(v.Provider.Scope) < lifetime(pr.Scope) {
				field := pr.param(i)
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

// param returns the parameter that is the provider's i-th, or its receiver.
func (pr *Provider) param(i int) *types.Var {
	sig := pr.obj.Signature()
	if pr.Method && i == 0 {
		return sig.Recv()
	}
	return sig.Params().At(sig.Params().Len() - len(pr.Params) + i)
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
