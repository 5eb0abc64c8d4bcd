package gen_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/gen"
)

// TestGenerate_Shape: the compiler's time for a task is that of its functions, so
// that a task has three and no more: to enqueue, to call and to run. There is no function literal among them, and none for each task in
// RegisterTasks.
func TestGenerate_Shape(t *testing.T) {
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
			assert.Equal(t, 2*3, functions, "functions of two tasks")
			return
		}
		functions++
	}
	t.Fatal("there is no RegisterTasks")
}

// TestGeneratedShape_CompilesNothingOfOurs: a package with tasks is compiled to
// its own functions, and to few of ours: those of the type of each result and of
// each context. No method of a generic type is among them that our types only
// have in their fields.
func TestGeneratedShape_CompilesNothingOfOurs(t *testing.T) {
	first := compiledFunctions(t, `
//task:context
func Send(ctx context.Context, to string, n int64) error { return nil }
`)
	second := compiledFunctions(t, `
//task:context
func Send(ctx context.Context, to string, n int64) error { return nil }

//task:context
func Drop(ctx context.Context, to string) error { return nil }
`)
	assert.Len(t, second, len(first)+4, "a task that shares its types adds its function and three more")
	third := compiledFunctions(t, `
//task:context
func Send(ctx context.Context, to string, n int64) error { return nil }

type Receipt struct{ Name string; Cents []int }

//task:context
func Drop(ctx context.Context, to string) (Receipt, error) { return Receipt{}, nil }
`)
	assert.LessOrEqual(t, len(third), len(second)+16, "of a type of a result: %q", third)
	known := regexp.MustCompile(`^lab\.test/p\.|^type:\.eq\.|^go\.shape\.interface { Deadline\(\)` +
		`|^github\.com/taskctx/taskctx/runtime(/glue)?\.(\(\*)?(Call|Handle|RegisterTasks?|Runnable|callTask)\[`)
	for _, name := range third {
		assert.Regexp(t, known, name, "compiled again")
	}
}

// compiledFunctions generates for a package with these declarations, and returns
// the functions that the compiler makes of it.
func compiledFunctions(t *testing.T, declarations string) []string {
	t.Helper()
	root := t.TempDir()
	writeModule(t, root, "lab.test")
	write(t, filepath.Join(root, "p", "p.go"), "package p\n\nimport \"context\"\n"+declarations)
	generateAll(t, gen.Config{Dir: filepath.Join(root, "p")})
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		out, err := cmd.Output()
		require.NoError(t, err, "go %s", args[0])
		return string(out)
	}
	archive := strings.TrimSpace(run("list", "-export", "-f", "{{.Export}}", "./p"))
	var functions []string
	for line := range strings.Lines(run("tool", "nm", "-type", archive)) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), " T "); ok {
			name, _, _ = strings.Cut(name, "\t")
			functions = append(functions, name)
		}
	}
	return functions
}
