package gen

import (
	"go/types"

	"github.com/taskctx/taskctx/annotations"
)

// iterator reads a task that returns iter.Seq2[T, error], and its each
// function. It reports whether the result is an iterator.
func (b *builder) iterator(t *Task, res types.Type) bool {
	named, ok := types.Unalias(res).(*types.Named)
	if !ok || !isNamed(named, "iter", "Seq2") || named.TypeArgs().Len() != 2 || !isError(named.TypeArgs().At(1)) {
		return false
	}
	t.Elem = named.TypeArgs().At(0)
	out := t.Elem
	if a := t.directive.Arg("each"); a != nil {
		t.Each = a.Value
		if out = b.each(t, a); out == nil {
			return true
		}
		if out == voidElem {
			return true
		}
	}
	if b.wire(out, resultExpr(t.directive.Func, 0), "the iterator's value") {
		t.Result = types.NewSlice(out)
	}
	return true
}

// voidElem stands for a handler that returns only an error.
var voidElem types.Type = types.Typ[types.UntypedNil]

// each checks the function that gets the values, and returns the type of its
// results, or nil if it was reported.
func (b *builder) each(t *Task, a *annotations.Arg) types.Type {
	fn, ok := b.object(a.Value).(*types.Func)
	if !ok {
		var names []string
		for _, n := range b.load.Types.Scope().Names() {
			if _, ok := b.object(n).(*types.Func); ok {
				names = append(names, n)
			}
		}
		fix := "write func " + a.Value + "(ctx " + b.typeName(t.contextOr()) + ", v " + b.typeName(t.Elem) + ") (R, error)"
		if near := annotations.Nearest(a.Value, names); near != "" {
			fix = "did you mean " + near + "?"
		}
		b.report(a.ValuePos, a.End, "unknown-each", fix, "there is no function %s in this package", a.Value)
		return nil
	}
	sig := fn.Signature()
	good := sig.TypeParams() == nil && !sig.Variadic() && sig.Params().Len() == 2 &&
		types.Identical(sig.Params().At(0).Type(), t.contextOr()) && types.Identical(sig.Params().At(1).Type(), t.Elem)
	res := sig.Results()
	switch {
	case good && res.Len() == 1 && isError(res.At(0).Type()):
		return voidElem
	case good && res.Len() == 2 && isError(res.At(1).Type()):
		t.EachResult = true
		return res.At(0).Type()
	}
	d := b.report(a.ValuePos, a.End, "bad-each",
		"write func "+a.Value+"(ctx "+b.typeName(t.contextOr())+", v "+b.typeName(t.Elem)+") (R, error)",
		"%s does not fit as the each function of %s", a.Value, t.Func)
	b.related(d, fn.Pos(), "%s is %s", a.Value, b.typeName(sig))
	return nil
}

// contextOr returns the task's context, or context.Context in its place if it
// was reported as wrong.
func (t *Task) contextOr() types.Type {
	if t.Context != nil {
		return t.Context
	}
	return t.obj.Signature().Params().At(0).Type()
}
