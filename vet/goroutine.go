package vet

import (
	"go/ast"

	"golang.org/x/tools/go/analysis"
)

// Goroutine reports a go statement in a task.
var Goroutine = &analysis.Analyzer{
	Name: "taskgo",
	Doc: `report go statements in a task

A panic in such a goroutine ends the process, with all other tasks that it runs,
and nobody waits for it: it may go on when the task has ended, with a context that
says ErrTaskDone. local.Go recovers, and the task ends after it. A goroutine that
recovers by itself is not reported.`,
	URL:      page + "taskgo",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      goroutine,
}

func goroutine(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			stmt, ok := n.(*ast.GoStmt)
			if !ok {
				return true
			}
			lit, _ := ast.Unparen(stmt.Call.Fun).(*ast.FuncLit)
			if lit != nil && recovers(pass, lit.Body) {
				return true
			}
			d := analysis.Diagnostic{Pos: stmt.Pos(), End: stmt.Call.Lparen,
				Message: "a panic in this goroutine ends the process with all its tasks, and nobody waits for it: use local.Go"}
			if edits := t.child(pass, stmt, lit, around); edits != nil {
				d.SuggestedFixes = fix("Start it with local.Go", edits...)
			}
			pass.Report(d)
			return true
		})
	}
	return nil, nil
}

// recovers reports whether the function defers a function literal that calls
// recover.
func recovers(pass *analysis.Pass, body *ast.BlockStmt) (yes bool) {
	for _, s := range body.List {
		d, ok := s.(*ast.DeferStmt)
		if !ok {
			continue
		}
		ast.Inspect(d.Call, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "recover" && pass.TypesInfo.Types[id].IsBuiltin() {
					yes = true
				}
			}
			return !yes
		})
	}
	return yes
}

// child returns the edits that turn the goroutine into a child of the task. It returns
// none unless the goroutine is a function literal without parameters that returns only
// at its end.
func (t *task) child(pass *analysis.Pass, stmt *ast.GoStmt, lit *ast.FuncLit, around []ast.Node) []analysis.TextEdit {
	ctx := t.contextName(pass, around, stmt.Pos())
	if ctx == "" || lit == nil || len(lit.Type.Params.List) > 0 || lit.Type.Results != nil || returns(lit.Body) {
		return nil
	}
	local, edits := importName(pass, t.file, localPath, stmt.Pos())
	pkg, imports := importName(pass, t.file, "context", stmt.Pos())
	if local == "" || pkg == "" {
		return nil
	}
	edits = append(edits, imports...)
	return append(edits,
		analysis.TextEdit{
			Pos: stmt.Pos(), End: lit.Body.Lbrace,
			NewText: []byte(local + ".Go(" + ctx + ", " + local + ".Copy, func(" + t.childParam(pass, lit, ctx) + pkg + ".Context) error "),
		},
		analysis.TextEdit{Pos: lit.Body.Rbrace, End: stmt.End(), NewText: []byte("return nil\n})")},
	)
}

// childParam returns the name of the child's context parameter: ctx, or "_" if the
// goroutine uses what context.Context lacks of ctx.
func (t *task) childParam(pass *analysis.Pass, lit *ast.FuncLit, ctx string) string {
	selects := false
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == ctx && !isContextMethod(sel.Sel.Name) {
				selects = true
			}
		}
		return true
	})
	if selects {
		return "_ "
	}
	return ctx + " "
}

func isContextMethod(name string) bool {
	return name == "Done" || name == "Err" || name == "Deadline" || name == "Value"
}

// returns reports whether the function literal has a return statement of its
// own.
func returns(body *ast.BlockStmt) (yes bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			yes = true
		}
		return !yes
	})
	return yes
}
