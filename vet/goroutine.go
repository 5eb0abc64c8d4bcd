package vet

import (
	"go/ast"
	"go/types"
	"regexp"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
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
			if recovers(pass, t.bodyOf(pass, stmt.Call)) {
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

// recovers reports whether the function, or one within that it calls, defers one that
// calls recover. Of one that is declared elsewhere its name says so.
func recovers(pass *analysis.Pass, body *ast.BlockStmt) (yes bool) {
	if body == nil {
		return false
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			return false
		case *ast.DeferStmt:
			if late := bodyOf(pass, n.Call); late != nil {
				yes = yes || callsRecover(pass, late)
			} else {
				_, name := callee(pass, n.Call)
				yes = yes || saysRecovers.MatchString(name)
			}
		}
		return !yes
	})
	return yes
}

var saysRecovers = regexp.MustCompile(`(?i)recover|panic|crash|catch`)

// callsRecover reports whether the function itself calls recover: in a function
// within, it would recover nothing.
func callsRecover(pass *analysis.Pass, body *ast.BlockStmt) (yes bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "recover" && pass.TypesInfo.Types[id].IsBuiltin() {
				yes = true
			}
		}
		return !yes
	})
	return yes
}

// bodyOf returns the body of the function that is called, if this package has it: that
// of a literal, of a function, or of a literal in a variable of the task's.
func (t *task) bodyOf(pass *analysis.Pass, call *ast.CallExpr) *ast.BlockStmt {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if obj, ok := pass.TypesInfo.Uses[id].(*types.Var); ok {
			values, known := t.assigned(pass, obj)
			if !known || len(values) != 1 {
				return nil
			}
			if lit, ok := ast.Unparen(values[0]).(*ast.FuncLit); ok {
				return lit.Body
			}
		}
	}
	return bodyOf(pass, call)
}

func bodyOf(pass *analysis.Pass, call *ast.CallExpr) *ast.BlockStmt {
	if lit, ok := ast.Unparen(call.Fun).(*ast.FuncLit); ok {
		return lit.Body
	}
	fn, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Func)
	if !ok || fn.Pkg() != pass.Pkg {
		return nil
	}
	for _, f := range pass.Files {
		if f.FileStart > fn.Pos() || fn.Pos() > f.FileEnd {
			continue
		}
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Name.Pos() == fn.Pos() {
				return d.Body
			}
		}
	}
	return nil
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
	end := "return nil\n})"
	if n := len(lit.Body.List); n > 0 && pass.Fset.Position(lit.Body.List[n-1].End()).Line == pass.Fset.Position(lit.Body.Rbrace).Line {
		end = "\n" + end
	}
	return append(edits,
		analysis.TextEdit{
			Pos: stmt.Pos(), End: lit.Body.Lbrace,
			NewText: []byte(local + ".Go(" + ctx + ", " + local + ".Copy, func(" + t.childParam(pass, lit, ctx) + pkg + ".Context) error "),
		},
		analysis.TextEdit{Pos: lit.Body.Rbrace, End: stmt.End(), NewText: []byte(end)},
	)
}

// childParam returns the name of the child's context parameter: ctx, or "_" if the
// goroutine uses ctx as more than a context.Context.
func (t *task) childParam(pass *analysis.Pass, lit *ast.FuncLit, ctx string) string {
	plain := map[*ast.Ident]bool{}
	other := false
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && isContextMethod(n.Sel.Name) {
				plain[id] = true
			}
		case *ast.CallExpr:
			sig, _ := pass.TypesInfo.TypeOf(n.Fun).(*types.Signature)
			for i, arg := range n.Args {
				if id, ok := arg.(*ast.Ident); ok && sig != nil && i < sig.Params().Len() {
					plain[id] = isNamed(sig.Params().At(i).Type(), "context", "Context")
				}
			}
		case *ast.Ident:
			other = other || n.Name == ctx && !plain[n]
		}
		return true
	})
	if other {
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
