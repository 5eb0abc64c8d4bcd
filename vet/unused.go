package vet

import (
	"cmp"
	"go/ast"
	"go/types"
	"maps"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// Unused reports a dropped outcome, context or call, and a batch that is never enqueued.
var Unused = &analysis.Analyzer{
	Name: "taskunused",
	Doc: `report outcomes, calls and batches that are made and dropped

runtime.Permanent, RetryAfter, Snooze, Cancelled and Trigger are errors: they
end the task when it returns them. OrderCall makes a call, which Enqueue
enqueues; a Batch enqueues nothing before its Enqueue. local.With and
local.Fork return the context that has what they say.`,
	URL:      page + "taskunused",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      unused,
}

// outcomes are the functions whose error means something only if a task returns it.
var outcomes = []string{"Permanent", "RetryAfter", "Snooze", "Cancelled", "Trigger"}

func unused(pass *analysis.Pass) (any, error) {
	byDecl := map[*ast.FuncDecl]*task{}
	for _, t := range tasks(pass) {
		byDecl[t.FuncDecl] = t
	}
	for _, f := range pass.Files {
		if isTest(pass, f) {
			continue // which may want to see that they do nothing
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			t := byDecl[fn]
			if t == nil {
				t = &task{FuncDecl: fn}
			}
			t.dropped(pass)
			t.batches(pass)
		}
	}
	return nil, nil
}

// dropped reports a statement that drops an outcome, a context of package local or a Call.
func (t *task) dropped(pass *analysis.Pass) {
	t.inspect(func(n ast.Node, around []ast.Node) bool {
		stmt, ok := n.(*ast.ExprStmt)
		if !ok {
			return true
		}
		call, ok := ast.Unparen(stmt.X).(*ast.CallExpr)
		if !ok {
			return true
		}
		path, name := callee(pass, call)
		d := analysis.Diagnostic{Pos: call.Pos(), End: call.End()}
		switch {
		case path == runtimePath && slices.Contains(outcomes, name):
			d.Message = "runtime." + name + " is an error that does nothing unless the task returns it"
			if back := t.returning(pass, source(pass, call)); back != "" && ownStatement(stmt, around) {
				d.SuggestedFixes = fix("Return it", edit(stmt, back))
			}
		case path == localPath && (name == "With" || name == "Fork"):
			d.Message = name + " returns the context that has it: the one given has not"
		case isNamed(pass.TypesInfo.TypeOf(call), runtimePath, "Call"):
			d.Message = name + " makes a call that nobody enqueues: call Enqueue on it, or put it in a Batch"
		default:
			return true
		}
		pass.Report(d)
		return true
	})
}

// batches reports a batch that nobody can enqueue: a local variable that is only passed
// to AddTo.
func (t *task) batches(pass *analysis.Pass) {
	added := map[types.Object]*ast.Ident{}
	used := map[types.Object]bool{}
	t.inspect(func(n ast.Node, around []ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		obj, ok := pass.TypesInfo.Uses[id].(*types.Var)
		if !ok || obj.Parent() == nil || obj.Parent() == pass.Pkg.Scope() || !t.ownBatch(pass, obj) {
			return true
		}
		if givenToAddTo(pass, around) {
			if added[obj] == nil {
				added[obj] = id
			}
		} else {
			used[obj] = true
		}
		return true
	})
	inOrder := func(a, b types.Object) int { return cmp.Compare(a.Pos(), b.Pos()) }
	for _, obj := range slices.SortedFunc(maps.Keys(added), inOrder) {
		if !used[obj] && obj.Pos() > t.Pos() && obj.Pos() < t.End() {
			id := added[obj]
			pass.Reportf(id.Pos(), "the calls in %s are never enqueued: call %[1]s.Enqueue", id.Name)
		}
	}
}

// ownBatch reports whether the variable is a batch that nobody else has: one by value,
// and no result, or the address of a new one.
func (t *task) ownBatch(pass *analysis.Pass, obj *types.Var) bool {
	if isNamed(obj.Type(), runtimePath, "Batch") {
		return !slices.ContainsFunc(results(t.Type), func(id *ast.Ident) bool { return pass.TypesInfo.Defs[id] == obj })
	}
	if p, ok := types.Unalias(obj.Type()).(*types.Pointer); !ok || !isNamed(p.Elem(), runtimePath, "Batch") {
		return false
	}
	values, known := t.assigned(pass, obj)
	if !known || len(values) != 1 {
		return false
	}
	switch v := ast.Unparen(values[0]).(type) {
	case *ast.UnaryExpr:
		_, ok := v.X.(*ast.CompositeLit)
		return ok
	case *ast.CallExpr:
		id, ok := v.Fun.(*ast.Ident)
		return ok && id.Name == "new" && pass.TypesInfo.Types[id].IsBuiltin()
	}
	return false
}

// results returns the names of a function's results.
func results(fn *ast.FuncType) (names []*ast.Ident) {
	if fn.Results != nil {
		for _, f := range fn.Results.List {
			names = append(names, f.Names...)
		}
	}
	return names
}

// givenToAddTo reports whether the identifier below the nodes is the batch of an AddTo,
// or only has its Len called.
func givenToAddTo(pass *analysis.Pass, around []ast.Node) bool {
	if len(around) < 2 {
		return false
	}
	switch n := around[len(around)-1].(type) {
	case *ast.SelectorExpr:
		return n.Sel.Name == "Len"
	case *ast.CallExpr:
		return calls(pass, n, runtimePath, "AddTo")
	}
	call, ok := around[len(around)-2].(*ast.CallExpr)
	return ok && calls(pass, call, runtimePath, "AddTo")
}
