package gen

import (
	"fmt"
	"go/ast"
	"go/types"
)

const runtimePath = "github.com/taskctx/taskctx/runtime"

// isPlainContext reports whether t is context.Context.
func isPlainContext(t types.Type) bool { return isNamed(t, "context", "Context") }

// isHandle reports whether t is *runtime.Context.
func isHandle(t types.Type) bool {
	p, ok := types.Unalias(t).(*types.Pointer)
	return ok && isNamed(p.Elem(), runtimePath, "Context")
}

func isRuntimeContext(n *types.Named) bool { return isNamed(n, runtimePath, "Context") }

func isNamed(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

func isStruct(n *types.Named) bool {
	_, ok := n.Underlying().(*types.Struct)
	return ok
}

// contextNamed returns the context type that t points to, or nil.
func contextNamed(t types.Type) *types.Named {
	p, ok := types.Unalias(t).(*types.Pointer)
	if !ok {
		return nil
	}
	n, ok := types.Unalias(p.Elem()).(*types.Named)
	if !ok || isRuntimeContext(n) || !embedsContext(n) {
		return nil
	}
	return n
}

// isContext reports whether t may be the context of a task.
func (b *builder) isContext(t types.Type) bool {
	return isPlainContext(t) || isHandle(t) || contextNamed(t) != nil
}

// embedsContext reports whether a struct embeds *runtime.Context, at any depth.
func embedsContext(n *types.Named) bool { return embeds(n, map[*types.Named]bool{}) }

func embeds(n *types.Named, seen map[*types.Named]bool) bool {
	st, ok := n.Underlying().(*types.Struct)
	if !ok || seen[n] {
		return false
	}
	seen[n] = true
	for f := range st.Fields() {
		if !f.Embedded() {
			continue
		}
		if isHandle(f.Type()) {
			return true
		}
		t := types.Unalias(f.Type())
		if p, ok := t.(*types.Pointer); ok {
			t = types.Unalias(p.Elem())
		}
		if inner, ok := t.(*types.Named); ok && !isRuntimeContext(inner) && embeds(inner, seen) {
			return true
		}
	}
	return false
}

// taker is a task whose first parameter is a struct of the package that embeds
// no context.
type taker struct {
	task string
	of   *types.Named
	at   ast.Expr // the parameter's type
}

// contextless reports each such struct once, at the first task that takes it,
// however many tasks there are.
func (b *builder) contextless() {
	by := map[*types.TypeName][]taker{}
	for _, p := range b.takers {
		by[p.of.Obj()] = append(by[p.of.Obj()], p)
	}
	for _, first := range b.takers {
		obj := first.of.Obj()
		all := by[obj]
		if len(all) == 0 || b.bad[obj] { // reported here already, or where it is declared
			continue
		}
		delete(by, obj)
		count, each := "", ""
		if len(all) > 1 {
			count, each = fmt.Sprintf(": %d tasks take it", len(all)), " in each"
		}
		d := b.report(first.at.Pos(), first.at.End(), "no-context",
			"embed *runtime.Context in "+obj.Name()+", by pointer, or put ctx context.Context before it"+each,
			"the first parameter of %s must be its context, and %s embeds no *runtime.Context%s",
			first.task, b.typeName(first.of), count)
		b.related(d, obj.Pos(), "%s is declared here", obj.Name())
		for _, other := range all[1:min(len(all), 1+maxTakers)] {
			b.related(d, other.at.Pos(), "%s takes it too", other.task)
		}
	}
}

// maxTakers is how many further tasks with such a struct are shown.
const maxTakers = 3
