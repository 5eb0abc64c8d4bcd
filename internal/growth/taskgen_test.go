package growth

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/gen"
	"github.com/taskctx/taskctx/gen/diag"
)

// ask returns what taskgen says of each change: in a module of its own a package for
// each, which is recorded as it was and then changed.
func ask(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	module(t, dir)
	types := declarations(t)
	for i, c := range changes {
		write(t, dir, name(i)+"/tasks.go", source(name(i), types, c.from.order))
	}
	run := func(lock bool) *gen.Result {
		res, err := gen.Run(t.Context(), gen.Config{
			Dir: dir, Patterns: []string{"./..."}, Lock: lock, Env: append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod"),
		})
		require.NoError(t, err)
		return res
	}
	require.Empty(t, run(true).Diagnostics)
	for i, c := range changes {
		write(t, dir, name(i)+"/tasks.go", source(name(i), types, c.to.order))
	}
	res := run(false)
	verdicts := make([]string, len(changes))
	for i := range changes {
		verdicts[i] = "nothing"
		for _, d := range res.Notes {
			verdicts[i] = add(verdicts[i], d, dir, name(i), "a note, ")
		}
		for _, d := range res.Diagnostics {
			verdicts[i] = add(verdicts[i], d, dir, name(i), "an error, ")
		}
	}
	return verdicts
}

// module makes a module of the directory, which requires this one.
func module(t *testing.T, dir string) {
	t.Helper()
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)^(module .*|tool .*)$`).ReplaceAllString(string(mod), "")
	write(t, dir, "go.mod", "module growth.test\n"+text+
		"\nrequire github.com/taskctx/taskctx v0.0.0\n\nreplace github.com/taskctx/taskctx => "+repo+"\n")
	sum, err := os.ReadFile(filepath.Join(repo, "go.sum"))
	require.NoError(t, err)
	write(t, dir, "go.sum", string(sum))
}

var direction = regexp.MustCompile(`compatible (in both directions|forwards only)`)

// add adds a diagnostic to what is said of a package.
func add(said string, d diag.Diagnostic, dir, pkg, kind string) string {
	if !strings.HasPrefix(diag.Rel(d.Pos.Filename, dir), pkg+"/") {
		return said
	}
	if kind == "a note, " {
		return kind + direction.FindString(d.Message)
	}
	return kind + "`" + d.Code + "`"
}

func name(i int) string { return fmt.Sprintf("change%d", i) }

// declarations returns the types of versions.go.
func declarations(t *testing.T) string {
	t.Helper()
	src, err := os.ReadFile("versions.go")
	require.NoError(t, err)
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "versions.go", src, 0)
	require.NoError(t, err)
	var b strings.Builder
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			b.Write(src[fset.Position(g.Pos()).Offset:fset.Position(g.End()).Offset])
			b.WriteString("\n\n")
		}
	}
	return b.String()
}

func source(pkg, types, order string) string {
	return fmt.Sprintf("package %s\n\nimport (\n\t\"context\"\n\t\"time\"\n)\n\n%s//task:context\nfunc Take(ctx context.Context, order %s) error { return nil }\n",
		pkg, types, order)
}

func write(t *testing.T, dir, file, text string) {
	t.Helper()
	file = filepath.Join(dir, file)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
}
