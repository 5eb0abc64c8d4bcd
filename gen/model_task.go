package gen

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/wiretype"
)

// task adds the task of a directive on a function.
func (b *builder) task(d *annotations.Directive) {
	f := d.Func
	obj := b.function(d, "a task")
	if obj == nil {
		return
	}
	doc, ok := b.docs[f]
	if !ok {
		doc = f.Doc
	}
	t := &Task{Func: funcName(f), Doc: doc.Text(), Retries: annotations.DefaultRetries, directive: d, obj: obj}
	if name := upperFirst(ident(t.Func)); !isExported("Enqueue"+name) || !isExported(name) {
		b.report(f.Name.Pos(), f.Name.End(), "no-exported-name", "rename the function",
			"%s has no form that begins with an upper-case letter, as %sCall would need", t.Func, t.Func)
		return
	}
	if t.file = b.files[d]; t.file == "" {
		t.file = filepath.Base(b.load.FileName(b.fileOf(f.Pos())))
	}
	before := len(b.diags)
	if f.Recv != nil {
		if v, ok := b.receiver(f, obj); ok {
			t.Receiver = &v
		}
	}
	b.contextParam(t)
	b.params(t)
	b.results(t)
	b.keys(t)
	if len(b.diags) == before && t.Context != nil {
		b.Tasks = append(b.Tasks, t)
	}
}

func isExported(name string) bool { return token.IsExported(name) }

// function returns the function of a directive, or nil if generated code
// cannot call it. what is the function's role.
func (b *builder) function(d *annotations.Directive, what string) *types.Func {
	f := d.Func
	name := f.Name
	switch {
	case isGeneric(f):
		recv := f.Recv.List[0].Type
		b.report(recv.Pos(), recv.End(), "generic-function",
			"write "+what+" for each type it is needed for, as a function that calls the method",
			"the type of %s has type parameters: what is enqueued has one type", funcName(f))
	case f.Type.TypeParams != nil:
		b.report(f.Type.TypeParams.Pos(), f.Type.TypeParams.End(), "generic-function",
			"write one function for each type it is needed for",
			"%s has type parameters: what is enqueued has one type", name.Name)
	case name.Name == "_" || f.Recv == nil && (name.Name == "init" || name.Name == "main" && b.Name == "main"):
		b.report(name.Pos(), name.End(), "uncallable", "give the function another name",
			"func %s cannot be called", name.Name)
	case f.Recv != nil:
		if obj := b.method(f); obj != nil {
			return obj
		}
		if id := receiverName(f); id == nil || b.object(id.Name) == nil {
			b.report(name.Pos(), name.End(), "unknown-type", "", "the type of the method %s is not known", funcName(f))
			return nil
		}
		b.report(name.Pos(), name.End(), "redeclared", "", "%s is declared twice in this package", funcName(f))
	default:
		obj, ok := b.object(name.Name).(*types.Func)
		if ok && obj.Pos() == name.Pos() {
			return obj
		}
		e := b.report(name.Pos(), name.End(), "redeclared", "", "%s is declared twice in this package", name.Name)
		if other := b.object(name.Name); other != nil {
			b.related(e, other.Pos(), "the other one")
		}
	}
	return nil
}

// contextParam checks that the first parameter, and no other, is a context.
func (b *builder) contextParam(t *Task) {
	params := t.obj.Signature().Params()
	name := t.directive.Func.Name
	if params.Len() == 0 {
		b.report(name.Pos(), name.End(), "no-context", fmt.Sprintf("write func %s(ctx context.Context)", name.Name),
			"%s has no context parameter", t.Func)
		return
	}
	first := params.At(0)
	field := b.fieldOf(t.directive.Func, 0)
	if t.obj.Signature().Variadic() && params.Len() == 1 || !b.isContext(first.Type()) {
		b.noContext(t, first, field)
		return
	}
	t.Context = first.Type()
	b.useContext(first.Type(), field)
	for i := 1; i < params.Len(); i++ {
		if b.isContext(params.At(i).Type()) {
			f := b.fieldOf(t.directive.Func, i)
			b.report(f.Pos(), f.End(), "second-context", "leave one of them out: a context type can hold what both have",
				"%s has a second context parameter", t.Func)
		}
	}
}

// noContext reports that the first parameter is no context, as precisely as it
// can.
func (b *builder) noContext(t *Task, first *types.Var, field *ast.Field) {
	params := t.obj.Signature().Params()
	for i := 1; i < params.Len(); i++ {
		if b.isContext(params.At(i).Type()) {
			f := b.fieldOf(t.directive.Func, i)
			b.report(f.Pos(), f.End(), "context-not-first", "make it the first parameter",
				"the context of %s is its parameter %d", t.Func, i+1)
			return
		}
	}
	typ := first.Type()
	if b.invalid(typ, field.Type, "the type of "+t.Func+"'s first parameter") {
		return
	}
	if ptr, ok := types.Unalias(typ).(*types.Pointer); ok {
		typ = ptr.Elem()
	}
	named, isNamed := types.Unalias(typ).(*types.Named)
	switch {
	case isNamed && isRuntimeContext(named):
		b.report(field.Type.Pos(), field.Type.End(), "context-by-value", "write *runtime.Context",
			"runtime.Context is passed by pointer")
	case isNamed && embedsContext(named) && typ == first.Type():
		b.report(field.Type.Pos(), field.Type.End(), "context-by-value", "write *"+b.typeName(named),
			"the context type %s is passed by pointer", b.typeName(named))
	case isNamed && isStruct(named) && named.Obj().Pkg() == b.load.Types:
		b.takers = append(b.takers, taker{task: t.Func, of: named, at: field.Type})
	default:
		b.report(field.Pos(), field.End(), "no-context", "put ctx context.Context before it",
			"the first parameter of %s must be its context, and %s is none", t.Func, b.typeName(first.Type()))
	}
}

// fieldOf returns the declaration of the i-th parameter.
func (b *builder) fieldOf(f *ast.FuncDecl, i int) *ast.Field {
	for _, field := range f.Type.Params.List {
		n := max(len(field.Names), 1)
		if i < n {
			return field
		}
		i -= n
	}
	return f.Type.Params.List[0]
}

// params adds the parameters after the context.
func (b *builder) params(t *Task) {
	sig := t.obj.Signature()
	t.Variadic = sig.Variadic()
	for i := 1; i < sig.Params().Len(); i++ {
		v := sig.Params().At(i)
		field := b.fieldOf(t.directive.Func, i)
		p := &Param{Name: v.Name(), Key: v.Name(), Type: v.Type(), pos: v.Pos(), end: v.Pos() + posLen(v.Name())}
		p.joined = i > 1 && field == b.fieldOf(t.directive.Func, i-1)
		if p.Name == "" || p.Name == "_" {
			b.report(field.Pos(), field.End(), "unnamed-parameter", "give it a name: it is the value's key on the wire",
				"parameter %d of %s has no name", i+1, t.Func)
			continue
		}
		if b.isContext(p.Type) {
			continue // reported as a second context
		}
		if b.wire(p.Type, field.Type, "parameter "+p.Name) {
			p.Sig = wiretype.Fingerprint(p.Type)
		}
		t.Params = append(t.Params, p)
	}
}

// results checks the task's results.
func (b *builder) results(t *Task) {
	res := t.obj.Signature().Results()
	f := t.directive.Func
	const forms = "a task returns error, (R, error) or iter.Seq2[T, error]"
	bad := func(fix, format string, args ...any) {
		pos, end := f.Name.Pos(), f.Name.End()
		if f.Type.Results != nil {
			pos, end = f.Type.Results.Pos(), f.Type.Results.End()
		}
		b.report(pos, end, "bad-results", fix, format, args...)
	}
	switch {
	case res.Len() == 1 && isError(res.At(0).Type()):
	case res.Len() == 1 && b.iterator(t, res.At(0).Type()):
	case res.Len() == 2 && isError(res.At(1).Type()):
		expr := resultExpr(f, 0)
		if b.wire(res.At(0).Type(), expr, "the result") {
			t.Result = res.At(0).Type()
		}
	case res.Len() == 0:
		bad("let it return error: "+forms, "%s returns no error", t.Func)
	case res.Len() > 2:
		bad(forms, "%s returns %d values", t.Func, res.Len())
	default:
		last := res.At(res.Len() - 1).Type()
		if b.invalid(last, resultExpr(f, res.Len()-1), "the type of "+t.Func+"'s result") {
			return
		}
		bad(b.resultFix(res)+forms, "the last result of %s is %s, not error", t.Func, b.typeName(last))
	}
}

// resultFix proposes results in the place of those that do not end with error.
func (b *builder) resultFix(res *types.Tuple) string {
	t := res.At(0).Type()
	switch named, ok := types.Unalias(t).(*types.Named); {
	case res.Len() > 1, ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "iter":
		return ""
	case types.Implements(t, types.Universe.Lookup("error").Type().Underlying().(*types.Interface)):
		return "let it return error: "
	}
	return "let it return (" + b.typeName(t) + ", error): "
}

func resultExpr(f *ast.FuncDecl, i int) ast.Expr {
	for _, field := range f.Type.Results.List {
		n := max(len(field.Names), 1)
		if i < n {
			return field.Type
		}
		i -= n
	}
	return f.Type.Results.List[0].Type
}

func isError(t types.Type) bool {
	return types.Identical(t, types.Universe.Lookup("error").Type())
}

// wire reports why values of the type cannot travel, at expr, and returns
// whether they can.
func (b *builder) wire(t types.Type, expr ast.Expr, what string) bool {
	if b.invalid(t, expr, "the type of "+what) {
		return false
	}
	problems := wiretype.Check(t, b.load.Types)
	for _, p := range problems {
		subject := what
		if p.Path != "" {
			subject = strings.TrimPrefix(what, "parameter ") + p.Path
		}
		d := b.report(expr.Pos(), expr.End(), "unsupported-type", p.Fix, "%s: %s", subject, p.Reason)
		if strings.HasSuffix(p.Reason, "is not known") {
			b.whyUnknown(d, expr, t)
		}
	}
	return len(problems) == 0
}

// taskName returns a task's default name: the package and the function.
// Programs are all of package main, so their directories are used. For the
// program in a module's root that is the module's path, since a checkout may
// lie anywhere.
func taskName(pkg, importPath, fn string) string {
	if pkg == "main" {
		pkg = path.Base(importPath)
		if strings.HasPrefix(pkg, "v") && strings.Trim(pkg[1:], "0123456789") == "" && path.Dir(importPath) != "." {
			pkg = path.Base(path.Dir(importPath))
		}
	}
	clean := func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}
	return strings.Map(clean, pkg) + "." + fn
}
