package vet

import (
	"go/ast"

	"golang.org/x/tools/go/analysis"
)

// Key reports a key, shared value or local that a task creates.
var Key = &analysis.Analyzer{
	Name: "taskkey",
	Doc: `report keys, shared values and locals that are made in a task

runtime.NewKey, runtime.NewShared and local.New are told apart by identity. One
that is made in each run finds nothing of the run before: a database is opened
again for each task, and all of them stay open until the worker stops. Make
them once, as package-level variables.`,
	URL:      page + "taskkey",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      key,
}

func key(pass *analysis.Pass) (any, error) {
	for _, t := range tasks(pass) {
		t.inspect(func(n ast.Node, around []ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || once(pass, around) {
				return true
			}
			path, name := callee(pass, call)
			switch {
			case path == runtimePath && (name == "NewKey" || name == "NewShared"), path == localPath && name == "New":
				pkg := path[len(path)-len("local"):]
				if path == runtimePath {
					pkg = "runtime"
				}
				pass.Report(analysis.Diagnostic{
					Pos: call.Pos(), End: call.End(), Message: pkg + "." + name +
						" in a task makes another one in each run, which finds nothing of the others: make it a package-level variable",
				})
			}
			return true
		})
	}
	return nil, nil
}

// once reports whether the node is in a function that sync calls only once.
func once(pass *analysis.Pass, around []ast.Node) bool {
	for i, n := range around[:max(0, len(around)-1)] {
		call, ok := n.(*ast.CallExpr)
		if !ok || !calls(pass, call, "sync", "Once.Do", "OnceFunc", "OnceValue", "OnceValues") {
			continue
		}
		if _, ok := around[i+1].(*ast.FuncLit); ok {
			return true
		}
	}
	return false
}
