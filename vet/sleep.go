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
			stmt, ok := n.(*ast.ExprStmt)
			if !ok || isCase(stmt, around) {
				return true
			}
			call, name := sleeping(pass, stmt)
			if call == nil {
				return true
			}
			ctx := t.contextName(pass, around, stmt.Pos())
			d := analysis.Diagnostic{Pos: call.Pos(), End: call.End(), Message: name +
				" in a task goes on when the task must stop: use Sleep of its *runtime.Context"}
			back := t.returning(pass, "err")
			if t.sleeps(pass, ctx, around) && ownStatement(stmt, around) && back != "" && len(call.Args) == 1 {
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

// isCase reports whether the statement is the communication of a select's case.
func isCase(stmt ast.Stmt, around []ast.Node) bool {
	c, ok := around[len(around)-1].(*ast.CommClause)
	return ok && c.Comm == stmt
}

// sleeping returns the statement's call and its name if the statement only sleeps.
func sleeping(pass *analysis.Pass, stmt *ast.ExprStmt) (*ast.CallExpr, string) {
	x := ast.Unparen(stmt.X)
	if recv, ok := x.(*ast.UnaryExpr); ok && recv.Op == token.ARROW {
		if call, ok := ast.Unparen(recv.X).(*ast.CallExpr); ok && calls(pass, call, "time", "After") {
			return call, "<-time.After"
		}
	}
	if call, ok := x.(*ast.CallExpr); ok && calls(pass, call, "time", "Sleep") {
		return call, "time.Sleep"
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
