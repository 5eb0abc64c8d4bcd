package gen

import (
	"go/types"
	"time"
)

const (
	runtimePath     = "github.com/taskctx/taskctx/runtime"
	defaultDelay    = time.Second
	defaultBackoff  = 2
	defaultMaxDelay = time.Hour
)

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
