package vet

import (
	"go/ast"
	"go/types"
	"slices"

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
			if !ok || len(call.Args) == 0 || !calls(pass, call, runtimePath, "Handle.Wait") {
				return true
			}
			// A method expression has the handle before the context.
			if !t.isOwn(pass, call.Args[len(call.Args)-1], nil) {
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

// isOwn reports whether the expression is certainly the task's context, or one derived
// from it. seen are the variables whose values led to the expression.
func (t *task) isOwn(pass *analysis.Pass, x ast.Expr, seen []*types.Var) bool {
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		obj, ok := pass.TypesInfo.Uses[x].(*types.Var)
		if !ok || slices.Contains(seen, obj) {
			return ok // as in ctx, cancel := context.WithCancel(ctx)
		}
		values, known := t.assigned(pass, obj)
		if !known || len(values) == 0 && obj != t.ctx {
			return false
		}
		return !slices.ContainsFunc(values, func(v ast.Expr) bool {
			return !t.isOwn(pass, v, append(slices.Clip(seen), obj))
		})
	case *ast.SelectorExpr: // the *runtime.Context that a context type embeds
		return x.Sel.Name == "Context" && t.isOwn(pass, x.X, seen)
	case *ast.CallExpr:
		return len(x.Args) > 0 && derives(pass, x) && t.isOwn(pass, x.Args[0], seen)
	}
	return false
}

// derives reports whether the call returns a context of the same task as that of its
// first argument.
func derives(pass *analysis.Pass, call *ast.CallExpr) bool {
	switch path, name := callee(pass, call); path {
	case "context":
		return true
	case localPath:
		return name == "With" || name == "Fork"
	case runtimePath:
		return name == "Context.With" || name == "FromContext"
	}
	return false
}

// assigned returns the values that the task assigns to the variable. known is false if
// its address is taken, or a value has no expression of its own.
func (t *task) assigned(pass *analysis.Pass, obj *types.Var) (values []ast.Expr, known bool) {
	known = true
	ast.Inspect(t.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, lhs := range n.Lhs {
				id, ok := ast.Unparen(lhs).(*ast.Ident)
				if !ok || pass.TypesInfo.ObjectOf(id) != obj {
					continue
				}
				switch {
				case len(n.Lhs) == len(n.Rhs):
					values = append(values, n.Rhs[i])
				case i == 0:
					values = append(values, n.Rhs[0])
				default:
					known = false
				}
			}
		case *ast.UnaryExpr:
			if id, ok := ast.Unparen(n.X).(*ast.Ident); ok && n.Op.String() == "&" && pass.TypesInfo.Uses[id] == obj {
				known = false
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				switch {
				case pass.TypesInfo.Defs[id] != obj || len(n.Values) == 0:
				case len(n.Names) == len(n.Values) || i == 0:
					values = append(values, n.Values[i])
				default:
					known = false
				}
			}
		case *ast.RangeStmt:
			for _, x := range []ast.Expr{n.Key, n.Value} {
				if id, ok := x.(*ast.Ident); ok && pass.TypesInfo.ObjectOf(id) == obj {
					known = false
				}
			}
		}
		return true
	})
	return values, known
}
