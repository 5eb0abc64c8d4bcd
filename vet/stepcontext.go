package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"

	"github.com/taskctx/taskctx/annotations"
)

// StepContext reports the task's context within a step.
var StepContext = &analysis.Analyzer{
	Name: "taskstepctx",
	Doc: `report the outer context within a step

The function of runtime.Step gets a context of its own, whose transaction commits
before the step is remembered. What it does with the context around it is done
in what the task's run holds, and rolled back when the task is suspended, while
the step counts as done.`,
	URL:      page + "taskstepctx",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      stepContexts,
}

func stepContexts(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, _ []ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 3 || !calls(pass, call, runtimePath, "Step") {
				return true
			}
			if lit, ok := ast.Unparen(call.Args[2]).(*ast.FuncLit); ok {
				t.outer(pass, lit)
			}
			return true
		})
	}
	return nil, nil
}

// outer reports each use of a context that the step's function captures.
func (t *task) outer(pass *analysis.Pass, lit *ast.FuncLit) {
	var own types.Object
	if names := lit.Type.Params.List[0].Names; len(names) > 0 {
		own = pass.TypesInfo.Defs[names[0]]
	}
	var stack []ast.Node
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return false
		}
		stack = append(stack, n)
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		obj, ok := pass.TypesInfo.Uses[id].(*types.Var)
		if !ok || obj.IsField() || !isContext(obj.Type()) || obj.Parent() == pass.Pkg.Scope() {
			return true
		}
		if obj.Pos() >= lit.Pos() && obj.Pos() < lit.End() || harmless(pass, stack) {
			return true
		}
		d := analysis.Diagnostic{Pos: id.Pos(), End: id.End(),
			Message: id.Name + " is the context around the step, whose work is rolled back when the task is suspended: use the step's own"}
		if name := visible(pass, own, id.Pos()); name != "" && replaces(pass, own, obj, stack) {
			d.SuggestedFixes = fix("Use the step's context", edit(id, name))
		}
		pass.Report(d)
		return true
	})
}

// harmless reports whether the outer context, the last of the nodes, is only asked for
// what is the same within the step: what its task is, or a field that does not live and
// die with the task's run.
func harmless(pass *analysis.Pass, stack []ast.Node) bool {
	if len(stack) < 2 {
		return false
	}
	sel, ok := stack[len(stack)-2].(*ast.SelectorExpr)
	if !ok || sel.X != stack[len(stack)-1] {
		return false
	}
	switch obj := pass.TypesInfo.Uses[sel.Sel].(type) {
	case *types.Func:
		switch obj.Name() {
		case "Metadata", "Logger", "Redact", "Progress", "Done", "Err", "Deadline":
			return true
		}
	case *types.Var:
		return !isContext(obj.Type()) && !madeForTask(pass, obj.Type())
	}
	return false
}

// madeForTask reports whether a provider of the package makes the type for each run of a
// task.
func madeForTask(pass *analysis.Pass, t types.Type) bool {
	for _, d := range pass.ResultOf[tasksOf].(*found).directives {
		if d.Verb != annotations.Provide || d.Func == nil || d.Word != "task" {
			continue
		}
		fn, ok := pass.TypesInfo.Defs[d.Func.Name].(*types.Func)
		if ok && fn.Signature().Results().Len() > 0 && types.Identical(fn.Signature().Results().At(0).Type(), t) {
			return true
		}
	}
	return false
}

// replaces reports whether the step's own context may replace the outer one: it has
// the same type, or is passed to a call.
func replaces(pass *analysis.Pass, own, outer types.Object, stack []ast.Node) bool {
	if types.Identical(own.Type(), outer.Type()) {
		return true
	}
	if len(stack) < 2 {
		return false
	}
	id := stack[len(stack)-1]
	call, ok := stack[len(stack)-2].(*ast.CallExpr)
	if !ok {
		return false
	}
	sig, ok := pass.TypesInfo.TypeOf(call.Fun).(*types.Signature)
	for i, arg := range call.Args {
		if ok && arg == id && i < sig.Params().Len() {
			return types.AssignableTo(own.Type(), sig.Params().At(i).Type())
		}
	}
	return false
}
