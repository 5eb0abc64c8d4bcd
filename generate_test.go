package taskctx_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGenerate_CodeIsFresh: every committed tasks_gen.go is what taskgen makes.
func TestGenerate_CodeIsFresh(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "tool", "taskgen", "-check", "./...").CombinedOutput()
	if err != nil {
		t.Errorf("run go generate ./...: %v\n%s", err, out)
	}
}

// TestGenerate_FromAnyState damages the generated files of a copy of the
// module in every way, and generates them again.
func TestGenerate_FromAnyState(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the generator of a copy")
	}
	dir := t.TempDir()
	want := copyModule(t, dir)
	if len(want) < 2 {
		t.Fatalf("only %d generated files are in the module", len(want))
	}
	damages := map[string]func([]byte) []byte{
		"deleted":   nil,
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"broken":    func(b []byte) []byte { return bytes.Replace(b, []byte("\nfunc "), []byte("\nfunc {\n"), 1) },
		"conflict": func(b []byte) []byte {
			lines := strings.SplitAfter(string(b), "\n")
			mid := len(lines) / 2
			return []byte(strings.Join(lines[:mid], "") + "<<<<<<< HEAD\n" + lines[mid] + "=======\n" + lines[mid] +
				lines[mid] + ">>>>>>> branch\n" + strings.Join(lines[mid+1:], ""))
		},
	}
	names := slices.Sorted(maps.Keys(damages))
	files := slices.Sorted(maps.Keys(want))
	for shift := 0; shift < len(names); shift += len(files) {
		for i, file := range files {
			damage(t, filepath.Join(dir, file), damages[names[(shift+i)%len(names)]])
		}
		generate(t, dir)
		if d := cmp.Diff(want, generated(t, dir)); d != "" {
			t.Errorf("after %q and on:\n%s", names[shift], d)
		}
	}
}

func damage(t *testing.T, file string, how func([]byte) []byte) {
	t.Helper()
	if how == nil {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, how(b), 0o666); err != nil {
		t.Fatal(err)
	}
}

func generate(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "generate", "./...")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go generate: %v\n%s", err, out)
	}
}

// copyModule copies what go generate needs of the module, and returns the
// generated files.
func copyModule(t *testing.T, to string) map[string]string {
	t.Helper()
	walkModule(t, ".", func(name string, content []byte) {
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
	})
	return generated(t, to)
}

func generated(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	walkModule(t, dir, func(name string, content []byte) {
		if filepath.Base(name) == "tasks_gen.go" {
			files[name] = string(content)
		}
	})
	return files
}

// walkModule visits the module's Go files that are no tests, and go.mod and
// go.sum.
func walkModule(t *testing.T, dir string, visit func(name string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if path != dir && (strings.HasPrefix(base, ".") || base == "testdata" || base == "tools" || base == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		switch {
		case base == "go.mod" || base == "go.sum":
		case !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		visit(name, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
