package vet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

// StepName reports a step's name that a run uses twice.
var StepName = &analysis.Analyzer{
	Name: "taskstepname",
	Doc: `report names that a durable task uses twice in a run

A durable task remembers steps, children and rests by name. A constant name in a
loop, or the same name twice, fails the task for good at its second use. Put the
index of the loop into the name.`,
	URL:      page + "taskstepname",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      stepNames,
}

// named are the functions whose second argument is a name in the journal.
var named = []string{"Step", "Spawn", "Rest", "All"}

func stepNames(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		first := map[ast.Node]map[string]token.Pos{}
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 || !calls(pass, call, runtimePath, named...) {
				return true
			}
			v := pass.TypesInfo.Types[call.Args[1]].Value
			if v == nil || v.Kind() != constant.String {
				return true
			}
			_, fn := callee(pass, call)
			if loop := repeats(around); loop != nil {
				pass.Report(analysis.Diagnostic{
					Pos: call.Args[1].Pos(), End: call.Args[1].End(), SuggestedFixes: t.indexed(pass, call.Args[1], loop),
					Message: fn + " has the same name in each turn of the loop, and fails the task in the second: put the index into it",
				})
				return true
			}
			block := straight(around)
			name := constant.StringVal(v)
			if fn == "All" {
				name += "/" // its names have the place of each call
			}
			if first[block] == nil {
				first[block] = map[string]token.Pos{}
			}
			if pos, again := first[block][name]; again {
				pass.Report(analysis.Diagnostic{
					Pos: call.Args[1].Pos(), End: call.Args[1].End(), Message: "the name " + v.String() +
						" is used twice in a run, which fails the task: give each its own",
					Related: []analysis.RelatedInformation{{Pos: pos, Message: "the first one"}},
				})
			} else {
				first[block][name] = call.Args[1].Pos()
			}
			return true
		})
	}
	return nil, nil
}

// repeats returns the innermost loop that runs the node in every turn, or nil. A node in
// a function literal has no such loop: nothing says how often the literal is called.
func repeats(around []ast.Node) ast.Stmt {
	only := false // the turn with the node is the last of the innermost loop
	for i := len(around) - 1; i >= 0; i-- {
		var body *ast.BlockStmt
		switch n := around[i].(type) {
		case *ast.FuncLit:
			return nil
		case *ast.ForStmt:
			body = n.Body
		case *ast.RangeStmt:
			body = n.Body
		case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
			switch tok, label := last(n); {
			case tok == token.RETURN || tok == token.GOTO || label:
				return nil
			case tok == token.BREAK:
				only = only || inLoop(around[:i+1])
			}
			continue
		default:
			continue
		}
		if i+1 < len(around) && around[i+1] == body {
			if !only {
				return around[i].(ast.Stmt)
			}
			only = false
		}
	}
	return nil
}

// last returns the token of the return or branch statement that ends a block or case, or
// else ILLEGAL. label reports whether that is a break with a label.
func last(n ast.Node) (tok token.Token, label bool) {
	var list []ast.Stmt
	switch n := n.(type) {
	case *ast.BlockStmt:
		list = n.List
	case *ast.CaseClause:
		list = n.Body
	case *ast.CommClause:
		list = n.Body
	}
	if len(list) == 0 {
		return token.ILLEGAL, false
	}
	switch last := list[len(list)-1].(type) {
	case *ast.ReturnStmt:
		return token.RETURN, false
	case *ast.BranchStmt:
		return last.Tok, last.Tok == token.BREAK && last.Label != nil
	}
	return token.ILLEGAL, false
}

// inLoop reports whether a break in the innermost node leaves a loop, and not a switch or
// select.
func inLoop(around []ast.Node) bool {
	for i := len(around) - 1; i >= 0; i-- {
		switch around[i].(type) {
		case *ast.ForStmt, *ast.RangeStmt:
			return true
		case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			return false
		}
	}
	return false
}

// straight returns the innermost block or case around the node: its statements run
// whenever the node runs.
func straight(around []ast.Node) ast.Node {
	for i := len(around) - 1; i >= 0; i-- {
		switch around[i].(type) {
		case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
			return around[i]
		}
	}
	return nil
}

// indexed returns the fix that appends the loop's index to the name.
func (t *task) indexed(pass *analysis.Pass, name ast.Expr, loop ast.Stmt) []analysis.SuggestedFix {
	var index *ast.Ident
	switch loop := loop.(type) {
	case *ast.RangeStmt:
		index, _ = loop.Key.(*ast.Ident)
	case *ast.ForStmt:
		if init, ok := loop.Init.(*ast.AssignStmt); ok && len(init.Lhs) == 1 {
			index, _ = init.Lhs[0].(*ast.Ident)
		}
	}
	if index == nil || index.Name == "_" {
		return nil
	}
	obj := pass.TypesInfo.ObjectOf(index)
	if obj == nil || visible(pass, obj, name.Pos()) == "" {
		return nil
	}
	if b, ok := obj.Type().Underlying().(*types.Basic); !ok || b.Info()&types.IsInteger == 0 {
		return nil
	}
	pkg, edits := importName(pass, t.file, "fmt", name.Pos())
	if pkg == "" {
		return nil
	}
	text := source(pass, name) + `+"/"`
	if lit, ok := name.(*ast.BasicLit); ok {
		text = lit.Value[:len(lit.Value)-1] + "/" + lit.Value[len(lit.Value)-1:]
	}
	edits = append(edits, edit(name, pkg+".Sprint("+text+", "+index.Name+")"))
	return fix("Put the index into the name", edits...)
}
