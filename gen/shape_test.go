package gen_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGeneratedShape: the compiler's time for a task is that of its functions, so
// that a task has four and no more: to enqueue, to call, to list the arguments
// and to run. There is no function literal among them, and none for each task in
// RegisterTasks.
func TestGeneratedShape(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../examples/index/tasks_gen.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	functions := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			_, literal := n.(*ast.FuncLit)
			assert.False(t, literal, "%s has a function literal", f.Name)
			return true
		})
		if f.Name.Name == "RegisterTasks" { // the contexts' functions follow
			assert.Equal(t, 2*4, functions, "functions of two tasks")
			return
		}
		functions++
	}
	t.Fatal("there is no RegisterTasks")
}
