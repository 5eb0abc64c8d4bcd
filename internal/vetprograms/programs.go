// Package vetprograms makes the programs of vet/testdata ready for tests: with
// the generated code that they need, which is not kept there, so that it is that
// of the generator as it is now.
package vetprograms

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/gen"
)

// generated are the programs that have generated code. Those that taskgen
// refuses have none.
var generated = []string{"./crawler", "./edge", "./fresh", "./hostile", "./ledger", "./press", "./shop"}

// Copy copies the programs to a directory that lasts as long as the test, and
// returns it. root is this module's directory.
func Copy(t *testing.T, root string) string {
	t.Helper()
	root, err := filepath.Abs(root)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(root, "vet", "testdata"))))
	replace(t, filepath.Join(dir, "go.mod"), "=> ../..", "=> "+filepath.ToSlash(root))

	// Fresh has a parameter more than when its code was generated.
	fresh := filepath.Join(dir, "fresh")
	replace(t, filepath.Join(fresh, "fresh.go"), ", name string", "")
	generate(t, dir)
	before := read(t, filepath.Join(fresh, gen.Output))
	replace(t, filepath.Join(fresh, "fresh.go"), "ctx context.Context", "ctx context.Context, name string")
	generate(t, dir)
	write(t, filepath.Join(fresh, gen.Output+".golden"), read(t, filepath.Join(fresh, gen.Output)))
	write(t, filepath.Join(fresh, gen.Output), before)
	return dir
}

func generate(t *testing.T, dir string) {
	t.Helper()
	res, err := gen.Run(t.Context(), gen.Config{Dir: dir, Patterns: generated, Env: append(os.Environ(), "GOWORK=off")})
	require.NoError(t, err)
	require.Empty(t, res.Diagnostics)
}

func replace(t *testing.T, file, before, after string) {
	t.Helper()
	text := read(t, file)
	require.Contains(t, text, before)
	write(t, file, strings.Replace(text, before, after, 1))
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
}
