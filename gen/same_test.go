package gen_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskctx/taskctx/gen"
)

// The same source gives the same bytes: wherever it lies, in whatever order its
// files were written and its packages named, on however many processors, with
// and without what earlier runs remember. A second run writes nothing.
func TestRun_SameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want map[string]string
	for i, run := range []struct {
		procs    int
		dir      string
		reverse  bool
		patterns []string
		cache    string
	}{
		{1, "m", false, []string{"./..."}, ""},
		{8, "a/longer/path/with spaces", true, []string{"./c", "./b", "./a", "./a"}, ""},
		{3, "x", false, []string{"./b/...", "same.test/a", "./c"}, t.TempDir()},
		{8, "y", true, []string{"./..."}, t.TempDir()},
		{2, "y", true, []string{"./..."}, t.TempDir()},
	} {
		runtime.GOMAXPROCS(run.procs)
		root := filepath.Join(t.TempDir(), run.dir)
		writeModule(t, root, "same.test")
		names := slices.Sorted(maps.Keys(sameSource()))
		if run.reverse {
			slices.Reverse(names)
		}
		for _, name := range names {
			write(t, filepath.Join(root, name), sameSource()[name])
		}
		cfg := gen.Config{Dir: root, Patterns: run.patterns, CacheDir: run.cache}
		got := map[string]string{}
		for range 2 { // the second time with what the first one remembers
			for _, f := range generateAll(t, cfg) {
				rel, err := filepath.Rel(root, f.Name)
				if err != nil {
					t.Fatal(err)
				}
				got[filepath.ToSlash(rel)] = string(f.New)
			}
			if err := os.Remove(filepath.Join(root, "a", gen.Output)); err != nil {
				t.Fatal(err)
			}
		}
		generateAll(t, cfg)
		for _, f := range generateAll(t, cfg) {
			if f.Stale() {
				t.Errorf("run %d: %s is written again", i, f.Name)
			}
		}
		if want == nil {
			want = got
		}
		if d := cmp.Diff(want, got); d != "" || len(got) != 3 {
			t.Errorf("run %d makes something else:\n%s", i, d)
		}
	}
}

func generateAll(t *testing.T, cfg gen.Config) []gen.File {
	t.Helper()
	res, err := gen.Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range res.Diagnostics {
		t.Error(d.Text(cfg.Dir))
	}
	return res.Files
}

// sameSource is three packages, one of them long, with types from one another.
func sameSource() map[string]string {
	files := map[string]string{
		"b/b.go": "package b\n\nimport (\n\t\"context\"\n\n\t\"same.test/c\"\n)\n\ntype Order struct {\n\tLines []c.Line\n}\n\n" +
			"//task:context\nfunc Place(ctx context.Context, o Order) error { return nil }\n",
		"c/c.go": "package c\n\nimport \"context\"\n\ntype Line struct{ Cents int }\n\n" +
			"//task:context\nfunc Drop(ctx context.Context, l Line) error { return nil }\n",
	}
	for i := range 4 {
		var src strings.Builder
		src.WriteString("package a\n\nimport (\n\t\"context\"\n\n\t\"same.test/b\"\n)\n")
		for k := range 50 {
			fmt.Fprintf(&src, "\n//task:context queue=q%[2]d\nfunc Task%[1]dNumber%[2]d(ctx context.Context, id string, o b.Order) (b.Order, error) "+
				"{ return o, nil }\n", i, k)
		}
		files[fmt.Sprintf("a/f%d.go", i)] = src.String()
	}
	return files
}
