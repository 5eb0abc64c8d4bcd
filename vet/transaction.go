package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// Transaction reports a task that is enqueued beside an open transaction.
var Transaction = &analysis.Analyzer{
	Name: "tasktx",
	Doc: `report tasks that are enqueued beside an open transaction

A task that is enqueued on the App while a transaction of the same function is
open may run before the commit, and finds nothing of what was written; it stays
when the transaction is rolled back. Enqueue it in the transaction, with
app.In(tx), where the engine can, or after the commit.`,
	URL:      page + "tasktx",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      transaction,
}

func transaction(pass *analysis.Pass) (any, error) {
	for _, f := range pass.Files {
		if isTest(pass, f) {
			continue // which may want to see just that
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Body != nil {
					beside(pass, n.Body)
				}
			case *ast.FuncLit:
				beside(pass, n.Body)
			}
			return true
		})
	}
	return nil, nil
}

// opened is a transaction that a function begins.
type opened struct {
	tx        types.Object
	begin     token.Pos
	block     *ast.BlockStmt // that begins it
	commits   []token.Pos    // that are not deferred
	rollbacks []token.Pos    // that are not deferred
}

// beside checks one function, without its function literals.
func beside(pass *analysis.Pass, body *ast.BlockStmt) {
	var open []*opened
	var enqueues []*ast.CallExpr
	var stack []ast.Node
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case nil:
			stack = stack[:len(stack)-1]
			return false
		case *ast.FuncLit:
			return false
		case *ast.AssignStmt:
			if o := begins(pass, n); o != nil {
				o.block = innermostBlock(stack)
				open = append(open, o)
			}
		case *ast.CallExpr:
			if _, late := stack[len(stack)-1].(*ast.DeferStmt); !late && onApp(pass, n) {
				enqueues = append(enqueues, n)
			}
			ends(pass, n, stack, open)
		}
		stack = append(stack, n)
		return true
	})
	for _, call := range enqueues {
		for _, o := range open {
			if o.holds(call) {
				pass.Report(analysis.Diagnostic{
					Pos: call.Pos(), End: call.End(), Message: "the task is enqueued beside the open transaction " + o.tx.Name() +
						": it may run before the commit, and stays after a rollback; enqueue it with App.In, or after the commit",
					Related: []analysis.RelatedInformation{{Pos: o.begin, Message: "the transaction begins here"}},
				})
				break
			}
		}
	}
}

func innermostBlock(stack []ast.Node) *ast.BlockStmt {
	for i := len(stack) - 1; i >= 0; i-- {
		if b, ok := stack[i].(*ast.BlockStmt); ok {
			return b
		}
	}
	return nil
}

// begins returns the transaction that a statement begins, as in
// tx, err := db.BeginTx(ctx, nil).
func begins(pass *analysis.Pass, s *ast.AssignStmt) *opened {
	if len(s.Rhs) != 1 || len(s.Lhs) != 2 {
		return nil
	}
	call, ok := s.Rhs[0].(*ast.CallExpr)
	if !ok {
		return nil
	}
	switch _, name := callee(pass, call); method(name) {
	case "Begin", "BeginTx", "BeginTxx", "Beginx":
	default:
		return nil
	}
	id, ok := s.Lhs[0].(*ast.Ident)
	if !ok || id.Name == "_" {
		return nil
	}
	obj := pass.TypesInfo.ObjectOf(id)
	if obj == nil || !isTransaction(obj.Type()) {
		return nil
	}
	return &opened{tx: obj, begin: s.Pos()}
}

// method returns the name of a method without its type.
func method(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return name
}

// isTransaction reports whether the type has Commit and Rollback.
func isTransaction(t types.Type) bool {
	for _, name := range []string{"Commit", "Rollback"} {
		obj, _, _ := types.LookupFieldOrMethod(t, true, nil, name)
		if _, ok := obj.(*types.Func); !ok {
			return false
		}
	}
	return true
}

// ends records a Commit or a Rollback of an open transaction.
func ends(pass *analysis.Pass, call *ast.CallExpr, stack []ast.Node, open []*opened) {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	id, ok := ast.Unparen(sel.X).(*ast.Ident)
	if !ok {
		return
	}
	for _, o := range open {
		if pass.TypesInfo.Uses[id] != o.tx {
			continue
		}
		_, late := stack[len(stack)-1].(*ast.DeferStmt)
		switch {
		case sel.Sel.Name == "Commit" && !late:
			o.commits = append(o.commits, call.Pos())
		case sel.Sel.Name == "Rollback" && !late:
			o.rollbacks = append(o.rollbacks, call.Pos())
		}
	}
}

// holds reports whether the transaction is certainly open at the call: the call lies
// between its begin and a commit, in the block of the begin, and no commit or rollback
// precedes it. A transaction that the function does not commit holds no call.
func (o *opened) holds(call *ast.CallExpr) bool {
	if o.block == nil || call.Pos() < o.begin || call.Pos() > o.block.End() {
		return false
	}
	for _, end := range slices.Concat(o.commits, o.rollbacks) {
		if end > o.begin && end < call.Pos() && !o.blockedOff(end, call.Pos()) {
			return false
		}
	}
	return slices.ContainsFunc(o.commits, func(c token.Pos) bool { return c > call.Pos() })
}

// blockedOff reports whether a nested block or case holds the commit or rollback and ends by a
// return or the like before at, as "if err != nil { tx.Rollback(); return err }" does: then
// the transaction is open at at.
func (o *opened) blockedOff(end, at token.Pos) (off bool) {
	leaves := false // a break or continue there leaves a statement within o.block
	ast.Inspect(o.block, func(n ast.Node) bool {
		if n == nil || n.Pos() > end || n.End() < end || off {
			return false
		}
		var list []ast.Stmt
		switch n := n.(type) {
		case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			leaves = true
		case *ast.BlockStmt:
			list = n.List
		case *ast.CaseClause:
			list = n.Body
		case *ast.CommClause:
			list = n.Body
		}
		if len(list) > 0 && n != o.block && n.End() <= at {
			switch last := list[len(list)-1].(type) {
			case *ast.ReturnStmt:
				off = true
			case *ast.BranchStmt:
				off = !leaves
			case *ast.ExprStmt:
				off = isPanic(last)
			}
		}
		return true
	})
	return off
}

func isPanic(s *ast.ExprStmt) bool {
	call, ok := s.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	id, ok := call.Fun.(*ast.Ident)
	return ok && id.Name == "panic"
}

// onApp reports whether the call enqueues on a *runtime.App: it passes one as a
// runtime.Enqueuer.
func onApp(pass *analysis.Pass, call *ast.CallExpr) bool {
	sig, ok := pass.TypesInfo.TypeOf(call.Fun).(*types.Signature)
	if !ok {
		return false
	}
	for i := range min(sig.Params().Len(), len(call.Args)) {
		if !isNamed(sig.Params().At(i).Type(), runtimePath, "Enqueuer") {
			continue
		}
		p, ok := types.Unalias(pass.TypesInfo.TypeOf(call.Args[i])).(*types.Pointer)
		return ok && isNamed(p.Elem(), runtimePath, "App")
	}
	return false
}
