package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Suspended reports a durable task that does not return ErrSuspended.
var Suspended = &analysis.Analyzer{
	Name: "tasksuspended",
	Doc: `report a durable task that swallows ErrSuspended

What a durable task waits for with is ErrSuspended until it has come, and the
task is to return it. One that drops it goes on without what it waits for: it
runs code that is run again, and says nil to cleanups that commit.`,
	URL:      page + "tasksuspended",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      suspended,
}

// suspending are the functions whose last result may be ErrSuspended.
var suspending = []string{
	"Step", "Rest", "All", "AwaitAll", "AwaitAny", "AwaitEnds", "Future.Await", "Signal.Await",
}

func suspended(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			switch n := n.(type) {
			case *ast.ExprStmt:
				if call, name := suspends(pass, n.X); call != nil {
					t.reportDropped(pass, call, name, around, n)
				}
			case *ast.DeferStmt:
				if call, name := suspends(pass, n.Call); call != nil {
					t.reportDropped(pass, call, name, around, nil)
				}
			case *ast.GoStmt:
				if call, name := suspends(pass, n.Call); call != nil {
					t.reportDropped(pass, call, name, around, nil)
				}
			case *ast.AssignStmt:
				t.checkAssigned(pass, n, around)
			}
			return true
		})
	}
	return nil, nil
}

// suspends returns the call, and its name, if it may return ErrSuspended.
func suspends(pass *analysis.Pass, x ast.Expr) (*ast.CallExpr, string) {
	call, ok := ast.Unparen(x).(*ast.CallExpr)
	if !ok {
		return nil, ""
	}
	path, name := callee(pass, call)
	if path != runtimePath || !slices.Contains(suspending, name) {
		return nil, ""
	}
	return call, method(name)
}

// reportDropped reports a call whose results are dropped.
func (t *task) reportDropped(pass *analysis.Pass, call *ast.CallExpr, name string, around []ast.Node, stmt ast.Stmt) {
	d := analysis.Diagnostic{Pos: call.Pos(), End: call.End(),
		Message: "the error of " + name + " is dropped, which may be ErrSuspended: the task must return it"}
	back := t.returning(pass, "err")
	if sig, ok := pass.TypesInfo.TypeOf(call.Fun).(*types.Signature); ok && back != "" && stmt != nil && ownStatement(stmt, around) {
		blanks := ""
		for range sig.Results().Len() - 1 {
			blanks += "_, "
		}
		d.SuggestedFixes = fix("Return its error", edit(stmt,
			"if "+blanks+"err := "+source(pass, call)+"; err != nil {\n"+back+"\n}"))
	}
	pass.Report(d)
}

// checkAssigned reports an assignment to _ of an error that may be ErrSuspended, and a
// branch that loses it.
func (t *task) checkAssigned(pass *analysis.Pass, s *ast.AssignStmt, around []ast.Node) {
	if len(s.Rhs) != 1 {
		return
	}
	call, name := suspends(pass, s.Rhs[0])
	if call == nil {
		return
	}
	id, ok := s.Lhs[len(s.Lhs)-1].(*ast.Ident)
	if !ok {
		return
	}
	if id.Name == "_" {
		pass.Report(analysis.Diagnostic{Pos: call.Pos(), End: call.End(),
			Message: "the error of " + name + " is dropped, which may be ErrSuspended: the task must return it"})
		return
	}
	if check := follows(s, around); check != nil && !inLiteral(around) {
		t.checkBranch(pass, pass.TypesInfo.ObjectOf(id), name, check)
	}
}

// follows returns the if statement right after the assignment, or around it as
// its init.
func follows(s *ast.AssignStmt, around []ast.Node) *ast.IfStmt {
	switch outer := around[len(around)-1].(type) {
	case *ast.IfStmt:
		if outer.Init == s {
			return outer
		}
	case *ast.BlockStmt:
		i := slices.Index(outer.List, ast.Stmt(s))
		if i >= 0 && i+1 < len(outer.List) {
			check, _ := outer.List[i+1].(*ast.IfStmt)
			return check
		}
	}
	return nil
}

// checkBranch reports a branch of "err != nil" that ends the task without err.
func (t *task) checkBranch(pass *analysis.Pass, err types.Object, name string, check *ast.IfStmt) {
	cond, ok := check.Cond.(*ast.BinaryExpr)
	if !ok || cond.Op != token.NEQ || !uses(pass, cond.X, err) || !pass.TypesInfo.Types[cond.Y].IsNil() {
		return
	}
	n := len(check.Body.List)
	if n == 0 || onlyTold(pass, err, check) {
		if err.Parent() == pass.TypesInfo.Scopes[check] && check.Else == nil {
			pass.Report(analysis.Diagnostic{Pos: check.Pos(), End: check.Body.Lbrace,
				Message: "the task goes on after the error of " + name + ", which may be ErrSuspended: return " + err.Name()})
		}
		return
	}
	back, ok := check.Body.List[n-1].(*ast.ReturnStmt)
	if !ok || len(back.Results) == 0 || asks(pass, check.Body, err) {
		return
	}
	last := back.Results[len(back.Results)-1]
	if !pass.TypesInfo.Types[last].IsNil() {
		return
	}
	pass.Report(analysis.Diagnostic{
		Pos: back.Pos(), End: back.End(), SuggestedFixes: fix("Return the error", edit(last, err.Name())),
		Message: "the task returns nil for the error of " + name + ", which may be ErrSuspended: return " + err.Name(),
	})
}

// onlyTold reports whether the branch does nothing with the error but pass it to calls
// that have no use for it, as those of a logger, and ends nothing.
func onlyTold(pass *analysis.Pass, err types.Object, check *ast.IfStmt) bool {
	for _, s := range check.Body.List {
		switch s := s.(type) {
		case *ast.ExprStmt:
			call, ok := s.X.(*ast.CallExpr)
			if !ok || !logs(pass, call) {
				return false
			}
		case *ast.BranchStmt:
			if s.Tok != token.CONTINUE {
				return false
			}
		default:
			if uses(pass, s, err) || !simple(s) {
				return false
			}
		}
	}
	return true
}

// simple reports whether control goes on after the statement.
func simple(s ast.Stmt) bool {
	switch s.(type) {
	case *ast.AssignStmt, *ast.IncDecStmt, *ast.EmptyStmt:
		return true
	}
	return false
}

// logs reports whether the call writes to a log, and returns.
func logs(pass *analysis.Pass, call *ast.CallExpr) bool {
	path, name := callee(pass, call)
	switch path {
	case "log":
		return strings.HasPrefix(method(name), "Print")
	case "log/slog":
		return true
	case "fmt":
		return strings.HasPrefix(name, "Print") || strings.HasPrefix(name, "Fprint")
	}
	return false
}

// uses reports whether the object is named within the node.
func uses(pass *analysis.Pass, n ast.Node, obj types.Object) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && pass.TypesInfo.ObjectOf(id) == obj {
			yes = true
		}
		return !yes
	})
	return yes
}

// asks reports whether the branch inspects the error, as with errors.Is, or returns
// before its end.
func asks(pass *analysis.Pass, body *ast.BlockStmt, err types.Object) (yes bool) {
	for _, s := range body.List[:len(body.List)-1] {
		ast.Inspect(s, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ReturnStmt:
				yes = true
			case *ast.CallExpr:
				if calls(pass, n, "errors", "Is", "As", "AsType") && uses(pass, n, err) {
					yes = true
				}
			}
			return !yes
		})
	}
	return yes
}
