package vet

import (
	"go/ast"

	"golang.org/x/tools/go/analysis"
)

// Background reports a context without the task in a task.
var Background = &analysis.Analyzer{
	Name: "taskbackground",
	Doc: `report context.Background and context.TODO in a task

What is called with them does not stop with the task, logs without its name, and
enqueues tasks that do not know their parent. What must go on when the task's
context has ended, as in a deferred function, takes context.WithoutCancel(ctx).`,
	URL:      page + "taskbackground",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      background,
}

func background(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !calls(pass, call, "context", "Background", "TODO") || opens(pass, around) {
				return true
			}
			_, name := callee(pass, call)
			d := analysis.Diagnostic{Pos: call.Pos(), End: call.End(), Message: "context." + name +
				" in a task does not stop with it, and knows nothing of it: pass the task's context on"}
			ctx := t.contextName(pass, around, call.Pos())
			switch {
			case ctx == "":
			case deferred(around):
				pkg := packageName(call)
				d.Message = "context." + name + " in a task knows nothing of it: what goes on after its end takes context.WithoutCancel"
				d.SuggestedFixes = fix("Keep the task's values", edit(call, pkg+".WithoutCancel("+ctx+")"))
			case passable(pass, call, around):
				d.SuggestedFixes = fix("Pass the task's context", edit(call, ctx))
			}
			pass.Report(d)
			return true
		})
	}
	return nil, nil
}

// packageName returns the name by which the call qualifies package context.
func packageName(call *ast.CallExpr) string {
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		if id, ok := sel.X.(*ast.Ident); ok {
			return id.Name
		}
	}
	return "context"
}

// passable reports whether the call is an argument of another call, where a context
// of any type may replace it.
func passable(pass *analysis.Pass, call *ast.CallExpr, around []ast.Node) bool {
	outer, ok := around[len(around)-1].(*ast.CallExpr)
	if !ok || outer.Fun == call {
		return false
	}
	tv, ok := pass.TypesInfo.Types[outer.Fun]
	return ok && tv.IsValue()
}

// deferred reports whether the node is in a deferred call, or in a function
// literal that is returned: a cleanup.
func deferred(around []ast.Node) bool {
	for i, n := range around {
		switch n := n.(type) {
		case *ast.DeferStmt:
			return true
		case *ast.ReturnStmt:
			if i+1 < len(around) {
				if _, ok := around[i+1].(*ast.FuncLit); ok {
					return true
				}
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Cleanup" {
				return true
			}
		}
	}
	return false
}

// opens reports whether the node is in a function that opens a stored value, which
// lives longer than the task.
func opens(pass *analysis.Pass, around []ast.Node) bool {
	for i, n := range around {
		if call, ok := n.(*ast.CallExpr); ok && i+1 < len(around) && calls(pass, call, runtimePath, "Stored", "Provide") {
			if _, ok := around[i+1].(*ast.FuncLit); ok {
				return true
			}
		}
	}
	return false
}
