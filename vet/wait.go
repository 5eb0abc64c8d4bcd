package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

// Wait reports a task that waits for another task.
var Wait = &analysis.Analyzer{
	Name: "taskwait",
	Doc: `report Handle.Wait in a task

It returns ErrWaitInTask, and the task fails: tasks that wait for tasks can hold
every slot. A durable task waits without a slot, with runtime.Spawn and Await.`,
	URL:      page + "taskwait",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      wait,
}

func wait(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 || !calls(pass, call, runtimePath, "Handle.Wait") || !t.isOwn(pass, call.Args[0], 0) {
				return true
			}
			pass.Report(analysis.Diagnostic{
				Pos: call.Pos(), End: call.End(),
				Message: "Wait in a task is ErrWaitInTask: make the task durable, and wait with runtime.Spawn and Await",
			})
			return true
		})
	}
	return nil, nil
}

// isOwn reports whether the expression is certainly the task's context, or a context
// that package context derived from it.
func (t *task) isOwn(pass *analysis.Pass, x ast.Expr, depth int) bool {
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		obj, ok := pass.TypesInfo.Uses[x].(*types.Var)
		if !ok || depth > 8 {
			return false
		}
		value, times := t.assigned(pass, obj)
		if obj == t.ctx {
			return times == 0
		}
		return times == 1 && value != nil && t.isOwn(pass, value, depth+1)
	case *ast.SelectorExpr: // the *runtime.Context that a context type embeds
		return x.Sel.Name == "Context" && t.isOwn(pass, x.X, depth+1)
	case *ast.CallExpr:
		path, _ := callee(pass, x)
		return path == "context" && len(x.Args) > 0 && t.isOwn(pass, x.Args[0], depth+1)
	}
	return false
}

// assigned returns the value that the task assigns to the variable last, and the number
// of assignments. Taking the variable's address counts as two.
func (t *task) assigned(pass *analysis.Pass, obj *types.Var) (value ast.Expr, times int) {
	ast.Inspect(t.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, lhs := range n.Lhs {
				id, ok := ast.Unparen(lhs).(*ast.Ident)
				if !ok || pass.TypesInfo.ObjectOf(id) != obj {
					continue
				}
				times++
				switch {
				case len(n.Lhs) == len(n.Rhs):
					value = n.Rhs[i]
				case i == 0:
					value = n.Rhs[0]
				}
			}
		case *ast.UnaryExpr:
			if id, ok := ast.Unparen(n.X).(*ast.Ident); ok && n.Op.String() == "&" && pass.TypesInfo.Uses[id] == obj {
				times += 2 // another may assign to it
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				if pass.TypesInfo.Defs[id] == obj && i < len(n.Values) {
					value, times = n.Values[i], times+1
				}
			}
		}
		return true
	})
	return value, times
}
