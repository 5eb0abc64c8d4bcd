package vet

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

// Sleep reports time.Sleep in a task.
var Sleep = &analysis.Analyzer{
	Name: "tasksleep",
	Doc: `report sleeps in a task that nothing ends

time.Sleep, and <-time.After by itself, go on when the task is cancelled, when its
time is up, and when the worker stops, which then waits for them. ctx.Sleep
returns at once with the cause.`,
	URL:      page + "tasksleep",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      sleep,
}

func sleep(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			call, name := sleeping(pass, n)
			if call == nil || isCase(around) {
				return true
			}
			stmt, alone := around[len(around)-1].(*ast.ExprStmt)
			if alone {
				if c, ok := around[len(around)-2].(*ast.CommClause); ok && c.Comm == stmt {
					alone = false
				}
			}
			ctx := t.contextName(pass, around, call.Pos())
			d := analysis.Diagnostic{Pos: call.Pos(), End: call.End(), Message: name +
				" in a task goes on when the task must stop: use Sleep of its *runtime.Context"}
			back := t.returning(pass, "err")
			if alone && t.sleeps(pass, ctx, around) && ownStatement(stmt, around[:len(around)-1]) && back != "" && len(call.Args) == 1 {
				d.SuggestedFixes = fix("Sleep until the task must stop", analysis.TextEdit{
					Pos: stmt.Pos(), End: stmt.End(), NewText: fmt.Appendf(nil,
						"if err := %s.Sleep(%s); err != nil {\n%s\n}", ctx, source(pass, call.Args[0]), back),
				})
			}
			pass.Report(d)
			return true
		})
	}
	return nil, nil
}

// isCase reports whether the node below these is the communication of one of several
// cases of a select.
func isCase(around []ast.Node) bool {
	for i := len(around) - 1; i >= 2; i-- {
		switch n := around[i].(type) {
		case *ast.CommClause:
			list, _ := around[i-1].(*ast.BlockStmt)
			return i+1 < len(around) && around[i+1] == n.Comm && len(list.List) > 1
		case *ast.BlockStmt, *ast.FuncLit:
			return false
		}
	}
	return false
}

// sleeping returns the call that sleeps, and its name, if the node is one that waits for
// nothing but the time.
func sleeping(pass *analysis.Pass, n ast.Node) (*ast.CallExpr, string) {
	switch n := n.(type) {
	case *ast.UnaryExpr:
		if call, ok := ast.Unparen(n.X).(*ast.CallExpr); ok && n.Op == token.ARROW && calls(pass, call, "time", "After") {
			return call, "<-time.After"
		}
	case *ast.CallExpr:
		if calls(pass, n, "time", "Sleep") {
			return n, "time.Sleep"
		}
	}
	return nil, ""
}

// sleeps reports whether ctx names a context with a method Sleep: the task's own,
// outside of function literals with another context.
func (t *task) sleeps(pass *analysis.Pass, ctx string, around []ast.Node) bool {
	if ctx == "" || !t.handle || inLiteral(around) {
		return false
	}
	obj, _, _ := types.LookupFieldOrMethod(t.ctx.Type(), true, pass.Pkg, "Sleep")
	fn, ok := obj.(*types.Func)
	return ok && fn.Pkg().Path() == runtimePath
}
