package vet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"

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
			if loops := repeats(pass, append(around, n)); len(loops) > 0 {
				pass.Report(analysis.Diagnostic{
					Pos: call.Args[1].Pos(), End: call.Args[1].End(), SuggestedFixes: t.indexed(pass, call.Args[1], loops),
					Message: fn + " has the same name in each turn of the loop, and fails the task in the second: put the index into it",
				})
				return true
			}
			name := constant.StringVal(v)
			if fn == "All" {
				name += "/" // its names have the place of each call
			}
			block, pos := straight(around), token.NoPos
			for i := len(around); i > 0 && !isLiteral(around[i-1]); i-- {
				pos = max(pos, first[around[i-1]][name])
			}
			if first[block] == nil {
				first[block] = map[string]token.Pos{}
			}
			if pos.IsValid() {
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

// repeats returns the loops that run the last of the nodes in every turn, the innermost first.
// A node in a function literal has no such loop: nothing says how often the literal is called.
func repeats(pass *analysis.Pass, around []ast.Node) (loops []ast.Stmt) {
	left := -1 // what a break at the end of a block leaves, and goes on after
	for i := len(around) - 2; i >= 0; i-- {
		switch n := around[i].(type) {
		case *ast.FuncLit:
			return loops
		case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
			tok, target := leaves(around[:i+1])
			if tok == token.RETURN || tok == token.GOTO {
				return loops
			}
			if target >= 0 && (left < 0 || target < left) {
				left = target
			}
		case *ast.ForStmt:
			if around[i+1] == n.Init || left >= 0 && i >= left {
				continue
			}
			if chosen(pass, n, around[i+1:]) {
				return nil
			}
			loops = append(loops, n)
		case *ast.RangeStmt:
			if around[i+1] != n.Body || left >= 0 && i >= left {
				continue
			}
			if chosen(pass, n, around[i+1:]) {
				return nil
			}
			loops = append(loops, n)
		}
	}
	return loops
}

// leaves returns the token of the return or branch statement that ends the innermost block or
// case, or else ILLEGAL, and the index of the outermost statement that a break or continue
// leaves, or else -1.
func leaves(around []ast.Node) (tok token.Token, target int) {
	var list []ast.Stmt
	switch n := around[len(around)-1].(type) {
	case *ast.BlockStmt:
		list = n.List
	case *ast.CaseClause:
		list = n.Body
	case *ast.CommClause:
		list = n.Body
	}
	if len(list) == 0 {
		return token.ILLEGAL, -1
	}
	switch last := list[len(list)-1].(type) {
	case *ast.ReturnStmt:
		return token.RETURN, -1
	case *ast.BranchStmt:
		return last.Tok, leftBy(last, around)
	}
	return token.ILLEGAL, -1
}

// leftBy returns the index of the outermost statement that a break or continue leaves, or
// else -1.
func leftBy(s *ast.BranchStmt, around []ast.Node) int {
	inner := -1 // the loop within
	for i := len(around) - 1; i >= 0; i-- {
		loop := isLoop(around[i])
		if !loop && !isSwitch(around[i]) {
			continue
		}
		named := s.Label == nil && (loop || s.Tok == token.BREAK)
		if i > 0 && s.Label != nil {
			l, ok := around[i-1].(*ast.LabeledStmt)
			named = ok && l.Label.Name == s.Label.Name
		}
		switch {
		case named && s.Tok == token.BREAK:
			return i
		case named:
			return inner
		case loop:
			inner = i
		}
	}
	return -1
}

func isLoop(n ast.Node) bool {
	switch n.(type) {
	case *ast.ForStmt, *ast.RangeStmt:
		return true
	}
	return false
}

func isSwitch(n ast.Node) bool {
	switch n.(type) {
	case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
		return true
	}
	return false
}

func isLiteral(n ast.Node) bool {
	_, ok := n.(*ast.FuncLit)
	return ok
}

// chosen reports whether a condition between the loop and the last of the nodes may be
// true in one turn alone: it asks what a variable of the loop equals, or for a variable
// that the branch sets, as in "if !done { done = true".
func chosen(pass *analysis.Pass, loop ast.Stmt, below []ast.Node) bool {
	own := variables(pass, loop)
	for i, n := range below[:len(below)-1] {
		switch n := n.(type) {
		case *ast.IfStmt:
			if below[i+1] == n.Body && (equals(pass, n.Cond, own) || mentions(pass, n.Cond, assignedIn(pass, n.Body))) {
				return true
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && mentions(pass, n.Tag, own) {
				return true
			}
		case *ast.CaseClause:
			if slices.ContainsFunc(n.List, func(x ast.Expr) bool { return equals(pass, x, own) }) {
				return true
			}
		}
	}
	return false
}

// variables returns those that the head of a loop declares or sets.
func variables(pass *analysis.Pass, loop ast.Stmt) map[types.Object]bool {
	switch loop := loop.(type) {
	case *ast.RangeStmt:
		all := map[types.Object]bool{}
		for _, x := range []ast.Expr{loop.Key, loop.Value} {
			if id, ok := x.(*ast.Ident); ok && pass.TypesInfo.ObjectOf(id) != nil {
				all[pass.TypesInfo.ObjectOf(id)] = true
			}
		}
		return all
	case *ast.ForStmt:
		all := assignedIn(pass, loop.Init)
		maps.Copy(all, assignedIn(pass, loop.Post))
		return all
	}
	return nil
}

// assignedIn returns the variables that are set within a statement.
func assignedIn(pass *analysis.Pass, s ast.Stmt) map[types.Object]bool {
	all := map[types.Object]bool{}
	if s == nil {
		return all
	}
	add := func(x ast.Expr) {
		if id, ok := x.(*ast.Ident); ok && pass.TypesInfo.ObjectOf(id) != nil {
			all[pass.TypesInfo.ObjectOf(id)] = true
		}
	}
	ast.Inspect(s, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				add(x)
			}
		case *ast.IncDecStmt:
			add(n.X)
		}
		return true
	})
	return all
}

// equals reports whether the condition has "x == y" with one of the variables.
func equals(pass *analysis.Pass, cond ast.Expr, vars map[types.Object]bool) (yes bool) {
	ast.Inspect(cond, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryExpr); ok && b.Op == token.EQL && mentions(pass, b, vars) {
			yes = true
		}
		return !yes
	})
	return yes
}

func mentions(pass *analysis.Pass, x ast.Node, vars map[types.Object]bool) (yes bool) {
	ast.Inspect(x, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && vars[pass.TypesInfo.ObjectOf(id)] {
			yes = true
		}
		return !yes
	})
	return yes
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

// indexed puts the index of each of the loops into the name, the outermost first.
func (t *task) indexed(pass *analysis.Pass, name ast.Expr, loops []ast.Stmt) []analysis.SuggestedFix {
	var all []string
	for _, loop := range slices.Backward(loops) {
		index := indexOf(pass, loop, name.Pos())
		if index == "" || slices.Contains(all, index) {
			return nil
		}
		all = append(all, index)
	}
	pkg, edits := importName(pass, t.file, "fmt", name.Pos())
	if pkg == "" {
		return nil
	}
	text := source(pass, name) + `+"/"`
	if lit, ok := name.(*ast.BasicLit); ok {
		text = lit.Value[:len(lit.Value)-1] + "/" + lit.Value[len(lit.Value)-1:]
	}
	edits = append(edits, edit(name, pkg+".Sprint("+text+", "+strings.Join(all, `, "/", `)+")"))
	return fix("Put the index into the name", edits...)
}

// indexOf returns the name of the loop's integer index, "" if it has none that can be
// seen at the place.
func indexOf(pass *analysis.Pass, loop ast.Stmt, at token.Pos) string {
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
		return ""
	}
	obj := pass.TypesInfo.ObjectOf(index)
	if obj == nil || visible(pass, obj, at) == "" {
		return ""
	}
	if b, ok := obj.Type().Underlying().(*types.Basic); !ok || b.Info()&types.IsInteger == 0 {
		return ""
	}
	return index.Name
}
