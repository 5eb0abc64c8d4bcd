package gen

import (
	"go/ast"
	"go/token"
	"go/types"
)

// locker is the interface of values that may not be copied, as in go vet.
var locker = func() *types.Interface {
	none := types.NewSignatureType(nil, nil, nil, nil, nil, false)
	i := types.NewInterfaceType([]*types.Func{
		types.NewFunc(token.NoPos, nil, "Lock", none), types.NewFunc(token.NoPos, nil, "Unlock", none),
	}, nil)
	return i.Complete()
}()

// lockIn returns the lock that values of the type hold, or nil.
func lockIn(t types.Type) types.Type {
	return findLock(t, map[types.Type]bool{})
}

func findLock(t types.Type, seen map[types.Type]bool) types.Type {
	t = types.Unalias(t)
	if seen[t] {
		return nil
	}
	seen[t] = true
	if types.IsInterface(t) || t == types.Typ[types.Invalid] {
		return nil
	}
	if types.Implements(types.NewPointer(t), locker) && !types.Implements(t, locker) {
		return t
	}
	switch u := t.Underlying().(type) {
	case *types.Array:
		return findLock(u.Elem(), seen)
	case *types.Struct:
		for f := range u.Fields() {
			if lock := findLock(f.Type(), seen); lock != nil {
				if n, ok := types.Unalias(lock).(*types.Named); ok && !n.Obj().Exported() {
					return t // such as sync.noCopy, which only marks its struct
				}
				return lock
			}
		}
	}
	return nil
}

// copies reports a value with a lock that generated code would copy.
func (b *builder) copies(t types.Type, pos, end token.Pos, what, fix string) bool {
	lock := lockIn(t)
	if lock == nil {
		return false
	}
	holds := " holds a " + b.typeName(lock)
	if types.Identical(lock, t) {
		holds = " is a lock"
	}
	b.report(pos, end, "lock-copied", fix, "%s would be copied, and %s%s", what, b.typeName(t), holds)
	return true
}

// fieldCopies reports a field with a lock whose value generated code would
// copy. A context type of this package is made in its place.
func (b *builder) fieldCopies(c *ContextType, v *types.Var, decl *ast.Field, value Value) bool {
	inPlace := value.Source == FromContext && value.Context.By == nil
	if value.Source == FromProvider || value.Source == FromRun || value.Deref && inPlace {
		return false // a provider is reported where it is declared
	}
	fix := "make its type *" + b.typeName(v.Type())
	if v.Embedded() {
		fix = "embed *" + b.typeName(v.Type())
	}
	at := b.fieldType(c, v, decl)
	return b.copies(v.Type(), at.Pos(), at.End(), c.Name+"."+v.Name(), fix)
}
