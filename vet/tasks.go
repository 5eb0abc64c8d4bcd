package vet

import (
	"go/ast"
	"go/types"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"

	"github.com/taskctx/taskctx/annotations"
)

// The packages whose functions the analyzers know.
const (
	runtimePath = "github.com/taskctx/taskctx/runtime"
	localPath   = runtimePath + "/local"
)

// found holds the tasks and directives of a package, for the other analyzers.
type found struct {
	// tasks are the functions that only run within a task.
	tasks []*task
	// directives are those of all files, and errs what is wrong with any.
	directives []*annotations.Directive
	errs       []*annotations.Error
}

// task is a function that runs within a task: it has a //task:context directive, or
// takes a context type that only tasks have. It may be a literal in a variable.
type task struct {
	*ast.FuncDecl
	// ctx is its first parameter, nil if that has no name.
	ctx *types.Var
	// handle: ctx has the methods of *runtime.Context.
	handle bool
	// file is the file that declares it.
	file *ast.File
}

// tasksOf finds the tasks of a package, for the analyzers that require it.
var tasksOf = &analysis.Analyzer{
	Name:       "tasksof",
	Doc:        "find the functions that run within a task",
	Run:        findTasks,
	ResultType: reflect.TypeFor[*found](),

	RunDespiteErrors: true,
}

func findTasks(pass *analysis.Pass) (any, error) {
	all := &found{}
	for _, f := range pass.Files {
		if ast.IsGenerated(f) {
			continue
		}
		directives, errs := annotations.Parse(f)
		all.directives = append(all.directives, directives...)
		all.errs = append(all.errs, errs...)
		marked := map[*ast.FuncDecl]bool{}
		for _, d := range directives {
			if d.Verb == annotations.Context && d.Func != nil {
				marked[d.Func] = true
			}
		}
		if ownRuntime(pass.Pkg.Path()) {
			continue // what the tasks run on has reasons of its own
		}
		for _, decl := range f.Decls {
			for _, fn := range functions(decl) {
				if t := asTask(pass, fn, marked[fn]); t != nil {
					t.file = f
					all.tasks = append(all.tasks, t)
				}
			}
		}
	}
	return all, nil
}

// functions returns the function that is declared, or the function literals that are the
// values of variables, as declarations.
func functions(decl ast.Decl) (all []*ast.FuncDecl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Body != nil {
			return []*ast.FuncDecl{decl}
		}
	case *ast.GenDecl:
		ast.Inspect(decl, func(n ast.Node) bool {
			lit, ok := n.(*ast.FuncLit)
			if ok {
				all = append(all, &ast.FuncDecl{Name: ast.NewIdent("_"), Type: lit.Type, Body: lit.Body})
			}
			return !ok
		})
	}
	return all
}

// ownRuntime reports whether the package is the runtime, or a test of it.
func ownRuntime(path string) bool {
	path = strings.TrimSuffix(path, "_test")
	return path == runtimePath || strings.HasPrefix(path, runtimePath+"/")
}

// asTask returns the function as a task, or nil if it is none.
func asTask(pass *analysis.Pass, fn *ast.FuncDecl, marked bool) *task {
	params := fn.Type.Params.List
	if len(params) == 0 {
		return nil
	}
	handle := isTaskContext(pass.TypesInfo.TypeOf(params[0].Type))
	if !handle && !marked {
		return nil
	}
	t := &task{FuncDecl: fn, handle: handle}
	if names := params[0].Names; len(names) > 0 {
		t.ctx, _ = pass.TypesInfo.Defs[names[0]].(*types.Var)
	}
	return t
}

// isTaskContext reports whether the type is *runtime.Context, or a pointer to a struct
// that embeds it at any depth, by value or by pointer: only tasks have such values.
func isTaskContext(t types.Type) bool {
	p, ok := types.Unalias(t).(*types.Pointer)
	return ok && holdsContext(p.Elem(), 0)
}

func holdsContext(t types.Type, depth int) bool {
	if t == nil {
		return false // the source has errors
	}
	if isNamed(t, runtimePath, "Context") {
		return true
	}
	s, ok := t.Underlying().(*types.Struct)
	if !ok || depth > 8 {
		return false
	}
	for f := range s.Fields() {
		if !f.Embedded() {
			continue
		}
		if p, ok := types.Unalias(f.Type()).(*types.Pointer); ok {
			if holdsContext(p.Elem(), depth+1) {
				return true
			}
		} else if !isNamed(f.Type(), runtimePath, "Context") && holdsContext(f.Type(), depth+1) {
			return true
		}
	}
	return false
}

// isNamed reports whether t is the named type of that package.
func isNamed(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

// isContext reports whether the type is a context.Context, or implements it.
func isContext(t types.Type) bool {
	if isNamed(t, "context", "Context") {
		return true
	}
	obj, _, _ := types.LookupFieldOrMethod(t, false, nil, "Deadline")
	fn, ok := obj.(*types.Func)
	if !ok || fn.Signature().Results().Len() != 2 {
		return false
	}
	done, _, _ := types.LookupFieldOrMethod(t, false, nil, "Done")
	_, ok = done.(*types.Func)
	return ok
}

// callee returns the package and the name of the called function or method; a method's
// name has its type: "App.Stop".
func callee(pass *analysis.Pass, call *ast.CallExpr) (path, name string) {
	fn, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Func)
	if !ok || fn.Pkg() == nil {
		return "", ""
	}
	name = fn.Name()
	if recv := fn.Signature().Recv(); recv != nil {
		t := types.Unalias(recv.Type())
		if p, ok := t.(*types.Pointer); ok {
			t = types.Unalias(p.Elem())
		}
		if n, ok := t.(*types.Named); ok {
			name = n.Obj().Name() + "." + name
		}
	}
	return fn.Pkg().Path(), name
}

// calls reports whether the call calls one of the package's named functions.
func calls(pass *analysis.Pass, call *ast.CallExpr, path string, names ...string) bool {
	p, n := callee(pass, call)
	return p == path && slices.Contains(names, n)
}

// inspect calls f for each node of the task's body, with the nodes around it, outermost
// first. It skips a node's children if f returns false.
func (t *task) inspect(f func(n ast.Node, around []ast.Node) bool) {
	var stack []ast.Node
	ast.Inspect(t.Body, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return false
		}
		if !f(n, stack) {
			return false
		}
		stack = append(stack, n)
		return true
	})
}

// tasks returns the tasks that the pass has found.
func tasks(pass *analysis.Pass) []*task { return pass.ResultOf[tasksOf].(*found).tasks }

// isTest reports whether the file is a _test.go file.
func isTest(pass *analysis.Pass, f *ast.File) bool {
	return strings.HasSuffix(pass.Fset.File(f.FileStart).Name(), "_test.go")
}
