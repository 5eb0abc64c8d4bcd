package vet

import (
	"go/ast"
	"go/token"
	"slices"

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
			if !ok || !calls(pass, call, "context", "Background", "TODO") || opens(pass, around) || guards(pass, around) {
				return true
			}
			_, name := callee(pass, call)
			d := analysis.Diagnostic{Pos: call.Pos(), End: call.End(), Message: "context." + name +
				" in a task does not stop with it, and knows nothing of it: pass the task's context on"}
			ctx := t.contextName(pass, around, call.Pos())
			switch {
			case ctx == "":
			case t.late(pass, around):
				d.Message = "context." + name + " in a task knows nothing of it: what goes on after its end takes context.WithoutCancel"
				d.SuggestedFixes = fix("Keep the task's values", edit(call, qualifier(call)+"WithoutCancel("+ctx+")"))
			case passable(pass, call, around):
				d.SuggestedFixes = fix("Pass the task's context", edit(call, ctx))
			}
			pass.Report(d)
			return true
		})
	}
	return nil, nil
}

// qualifier returns what is written before the names of package context in the call:
// nothing with a dot import.
func qualifier(call *ast.CallExpr) string {
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		if id, ok := sel.X.(*ast.Ident); ok {
			return id.Name + "."
		}
	}
	return ""
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

// late reports whether the node runs when the task's context may have ended: in a
// deferred call, in a function literal that is a cleanup, or after its Done or Err has
// said so.
func (t *task) late(pass *analysis.Pass, around []ast.Node) bool {
	for i, n := range around {
		var next ast.Node
		if i+1 < len(around) {
			next = around[i+1]
		}
		_, literal := next.(*ast.FuncLit)
		switch n := n.(type) {
		case *ast.DeferStmt:
			return true
		case *ast.ReturnStmt:
			if literal {
				return true
			}
		case *ast.AssignStmt:
			if literal && t.returned(pass, n.Lhs) {
				return true
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Cleanup" || calls(pass, n, "context", "AfterFunc") {
				return true
			}
		case *ast.CommClause:
			if n.Comm != nil && n.Comm != next && asksEnd(pass, n.Comm) {
				return true
			}
		case *ast.IfStmt:
			if next == n.Body && asksEnd(pass, n.Cond) {
				return true
			}
		case *ast.BlockStmt:
			for _, s := range n.List {
				if s == next {
					break
				}
				if x, ok := s.(*ast.ExprStmt); ok && asksEnd(pass, x.X) {
					return true
				}
			}
		}
	}
	return false
}

// returned reports whether one of the variables is a result of the task: a function
// that is assigned to it is called when the task has ended.
func (t *task) returned(pass *analysis.Pass, vars []ast.Expr) (yes bool) {
	for _, x := range vars {
		id, ok := x.(*ast.Ident)
		if !ok {
			continue
		}
		obj := pass.TypesInfo.ObjectOf(id)
		if obj != nil && t.Type.Results != nil && uses(pass, t.Type.Results, obj) {
			return true
		}
		ast.Inspect(t.Body, func(n ast.Node) bool {
			if back, ok := n.(*ast.ReturnStmt); ok && obj != nil {
				yes = yes || slices.ContainsFunc(back.Results, func(x ast.Expr) bool {
					id, ok := x.(*ast.Ident)
					return ok && pass.TypesInfo.Uses[id] == obj
				})
			}
			return !yes
		})
	}
	return yes
}

// asksEnd reports whether the node asks a context whether it has ended.
func asksEnd(pass *analysis.Pass, n ast.Node) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Done" || sel.Sel.Name == "Err") {
				t := pass.TypesInfo.TypeOf(sel.X)
				yes = yes || t != nil && isContext(t)
			}
			yes = yes || calls(pass, n, "context", "Cause")
		}
		return !yes
	})
	return yes
}

// guards reports whether the node is in the branch of "ctx == nil", which is for calls
// outside of a task.
func guards(pass *analysis.Pass, around []ast.Node) bool {
	for i, n := range around {
		check, ok := n.(*ast.IfStmt)
		if !ok || i+1 == len(around) || around[i+1] != check.Body {
			continue
		}
		if cond, ok := ast.Unparen(check.Cond).(*ast.BinaryExpr); ok && cond.Op == token.EQL {
			t := pass.TypesInfo.TypeOf(cond.X)
			if pass.TypesInfo.Types[cond.Y].IsNil() && t != nil && isContext(t) {
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
		if call, ok := n.(*ast.CallExpr); ok && i+1 < len(around) && calls(pass, call, runtimePath, "Stored", "Key.Provide") {
			if _, ok := around[i+1].(*ast.FuncLit); ok {
				return true
			}
		}
	}
	return false
}
