package vet

import (
	"go/ast"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// Exit reports tasks that end the process.
var Exit = &analysis.Analyzer{
	Name: "taskexit",
	Doc: `report tasks that end the process, or wait for their own end

os.Exit and log.Fatal end the process in the middle of all other tasks that it
runs; this one runs again elsewhere, and ends that process too. App.Stop and
App.Run wait for running tasks, and so for the task that calls them.`,
	URL:      page + "taskexit",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      exit,
}

var fatal = []string{"Fatal", "Fatalf", "Fatalln", "Logger.Fatal", "Logger.Fatalf", "Logger.Fatalln"}

func exit(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			path, name := callee(pass, call)
			d := analysis.Diagnostic{Pos: call.Pos(), End: call.End()}
			switch {
			case path == "os" && name == "Exit", path == "log" && slices.Contains(fatal, name), path == "syscall" && name == "Exit":
				d.Message = path + "." + name + " in a task ends the process with all its tasks: " +
					"return an error, runtime.Permanent if no retry helps"
				d.SuggestedFixes = t.failing(pass, call, path, name, around)
			case path == runtimePath && name == "App.Stop" && !inLiteral(around) && !inGo(around) && !t.made(pass, call):
				d.Message = "Stop waits for running tasks, and so for this one: stop the app from outside"
			default:
				return true
			}
			pass.Report(d)
			return true
		})
	}
	return nil, nil
}

// made reports whether the app is one that the task has made itself.
func (t *task) made(pass *analysis.Pass, call *ast.CallExpr) bool {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := ast.Unparen(sel.X).(*ast.Ident)
	if !ok {
		return false
	}
	obj, ok := pass.TypesInfo.Uses[id].(*types.Var)
	if !ok {
		return false
	}
	values, known := t.assigned(pass, obj)
	return !known || slices.ContainsFunc(values, func(x ast.Expr) bool {
		made, ok := ast.Unparen(x).(*ast.CallExpr)
		return ok && !calls(pass, made, runtimePath, "Context.App")
	})
}

func inGo(around []ast.Node) bool {
	return len(around) > 0 && isGo(around[len(around)-1])
}

func isGo(n ast.Node) bool {
	_, ok := n.(*ast.GoStmt)
	return ok
}

// failing returns log.Fatal(err) and log.Fatalf(...) as the return of an error.
func (t *task) failing(pass *analysis.Pass, call *ast.CallExpr, path, name string, around []ast.Node) []analysis.SuggestedFix {
	if path != "log" || len(around) == 0 || call.Ellipsis.IsValid() {
		return nil
	}
	stmt, ok := around[len(around)-1].(*ast.ExprStmt)
	if !ok || !ownStatement(stmt, around[:len(around)-1]) {
		return nil
	}
	if len(call.Args) == 1 && (name == "Fatal" || name == "Fatalln") && isError(pass.TypesInfo.TypeOf(call.Args[0])) {
		if back := t.returning(pass, source(pass, call.Args[0])); back != "" {
			return fix("Return the error", edit(stmt, back))
		}
	}
	if name == "Fatalf" {
		pkg, edits := importName(pass, t.file, "fmt", call.Pos())
		if back := t.returning(pass, pkg+".Errorf("+sources(pass, call.Args)+")"); back != "" && pkg != "" {
			return fix("Return an error", append(edits, edit(stmt, back))...)
		}
	}
	return nil
}
