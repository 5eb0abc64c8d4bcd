package gen_test

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/gen"
)

// cacheModule is a module in which a generated file depends on a package of the
// module, on another that this one imports, and on a replaced module.
func cacheModule(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "m")
	writeModule(t, root, "cache.test")
	mod := read(t, filepath.Join(root, "go.mod")) +
		"\nrequire other.test v0.0.0\nreplace other.test => ./other\n"
	write(t, filepath.Join(root, "go.mod"), mod)
	for name, text := range map[string]string{
		"other/go.mod": "module other.test\n\ngo 1.26.0\n",
		"other/o.go":   "package other\n\ntype O struct{ A int }\n",
		"deep/d.go":    "package deep\n\ntype D struct{ A int }\n",
		"dep/d.go":     "package dep\n\nimport \"cache.test/deep\"\n\ntype D struct{ D deep.D }\n",
		"a/a.go": `package a

import (
	"context"

	"cache.test/dep"
	"other.test"
)

// Send sends.
//
//task:context
func Send(ctx context.Context, d dep.D, o other.O) error { return nil }
`,
		"a/tagged.go":  "//go:build special\n\npackage a\n\ntype special int\n",
		"a/windows.go": "package a\n\ntype windows int\n",
		"b/b.go":       "package b\n\nimport \"context\"\n\n//task:context\nfunc Other(ctx context.Context) error { return nil }\n",
	} {
		write(t, filepath.Join(root, name), text)
	}
	return root
}

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// edit replaces a text in a file, without any trace in its size and times if
// both texts are of one length.
func edit(t *testing.T, name, from, to string) {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, name)
	if !strings.Contains(text, from) {
		t.Fatalf("%s does not hold %q", name, from)
	}
	write(t, name, strings.Replace(text, from, to, 1))
	if err := os.Chtimes(name, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// outcome is all that a run says.
func outcome(t *testing.T, cfg gen.Config) string {
	t.Helper()
	res, err := gen.Run(context.Background(), cfg)
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	for _, d := range res.Diagnostics {
		b.WriteString(d.Text(cfg.Dir) + "\n")
	}
	for _, f := range res.Files {
		b.WriteString(f.Name + "\n" + string(f.New) + "\n")
	}
	return b.String()
}

// Whatever changes, a run with what earlier runs remember must say what a run
// without says.
func TestRun_CacheIsNeverStale(t *testing.T) {
	cases := map[string]func(t *testing.T, root string, cfg *gen.Config){
		"nothing":     func(*testing.T, string, *gen.Config) {},
		"a signature": func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/a/a.go", "d dep.D", "x dep.D") },
		"a comment":   func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/a/a.go", "Send sends", "Send SENDS") },
		"a key": func(t *testing.T, r string, _ *gen.Config) {
			edit(t, r+"/a/a.go", "task:context", "task:context retries=9")
		},
		"a mistake":       func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/a/a.go", "task:context", "task:kontext") },
		"an import":       func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/dep/d.go", "D deep.D", "D deep.E") },
		"a type":          func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/dep/d.go", "D deep.D", "E deep.D") },
		"a deep type":     func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/deep/d.go", "A int", "B int") },
		"a replaced type": func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/other/o.go", "A int", "B int") },
		"a new file": func(t *testing.T, r string, _ *gen.Config) {
			write(t, r+"/a/new.go", "package a\n\nimport \"context\"\n\n//task:context\nfunc New(ctx context.Context) error { return nil }\n")
		},
		"a new file that takes a name": func(t *testing.T, r string, _ *gen.Config) {
			write(t, r+"/a/new.go", "package a\n\nfunc sendTask() {}\n")
		},
		"a file gone":    func(t *testing.T, r string, _ *gen.Config) { remove(t, r+"/a/a.go") },
		"a dep gone":     func(t *testing.T, r string, _ *gen.Config) { remove(t, r+"/deep/d.go") },
		"a file renamed": func(t *testing.T, r string, _ *gen.Config) { rename(t, r+"/a/a.go", r+"/a/z_plan9.go") },
		"a package renamed": func(t *testing.T, r string, _ *gen.Config) {
			edit(t, r+"/b/b.go", "package b", "package c")
		},
		"a test file": func(t *testing.T, r string, _ *gen.Config) {
			write(t, r+"/a/a_test.go", "package a\n\n//task:context\nfunc f() {}\n")
		},
		"the generated file":       func(t *testing.T, r string, _ *gen.Config) { edit(t, r+"/a/"+gen.Output, "Send", "Zend") },
		"the generated file gone":  func(t *testing.T, r string, _ *gen.Config) { remove(t, r+"/a/"+gen.Output) },
		"the generated file empty": func(t *testing.T, r string, _ *gen.Config) { write(t, r+"/a/"+gen.Output, "") },
		"the generated file cut": func(t *testing.T, r string, _ *gen.Config) {
			write(t, r+"/a/"+gen.Output, gen.Header+"\n")
		},
		"another's file": func(t *testing.T, r string, _ *gen.Config) { write(t, r+"/a/"+gen.Output, "package a\n") },
		"a tag": func(t *testing.T, r string, cfg *gen.Config) {
			write(t, r+"/a/new.go", "//go:build special\n\npackage a\n\nfunc sendTask() {}\n")
			outcome(t, *cfg)
			cfg.Tags = []string{"special"}
		},
		"a tag in GOFLAGS": func(t *testing.T, r string, cfg *gen.Config) {
			write(t, r+"/a/new.go", "//go:build special\n\npackage a\n\nfunc sendTask() {}\n")
			outcome(t, *cfg)
			cfg.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -tags=special")
		},
		"another GOOS": func(t *testing.T, r string, cfg *gen.Config) {
			other := "windows" // for which others of our tests have the go command compile, too
			if runtime.GOOS == other {
				other = "linux"
			}
			write(t, r+"/a/new_"+other+".go", "package a\n\nfunc sendTask() {}\n")
			outcome(t, *cfg)
			cfg.Env = append(os.Environ(), "GOOS="+other)
		},
		"go.mod": func(t *testing.T, r string, _ *gen.Config) {
			write(t, r+"/other2/go.mod", "module other.test\n\ngo 1.26.0\n")
			write(t, r+"/other2/o.go", "package other\n\ntype O struct{ Second bool }\n")
			edit(t, r+"/go.mod", "=> ./other", "=> ./other2")
		},
		"a go.work": func(t *testing.T, r string, cfg *gen.Config) {
			write(t, r+"/other2/go.mod", "module other.test\n\ngo 1.26.0\n")
			write(t, r+"/other2/o.go", "package other\n\ntype O struct{ Second bool }\n")
			edit(t, r+"/go.mod", "replace other.test => ./other\n", "")
			write(t, r+"/go.work", "go 1.26.0\n\nuse .\nuse ./other2\n")
			cfg.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GOWORK=") }), "GOWORK=")
		},
		"a go.mod inside": func(t *testing.T, r string, _ *gen.Config) {
			write(t, r+"/deep/go.mod", "module cache.test/deep\n\ngo 1.26.0\n")
		},
		"a damaged cache": func(t *testing.T, _ string, cfg *gen.Config) {
			eachFile(t, cfg.CacheDir, func(name string, data []byte) []byte { data[len(data)/2] ^= 1; return data })
		},
		"a cut cache": func(t *testing.T, _ string, cfg *gen.Config) {
			eachFile(t, cfg.CacheDir, func(_ string, data []byte) []byte { return data[:len(data)/2] })
		},
		"an empty cache": func(t *testing.T, _ string, cfg *gen.Config) {
			eachFile(t, cfg.CacheDir, func(string, []byte) []byte { return nil })
		},
		"a cache that may not be read": func(t *testing.T, r string, cfg *gen.Config) {
			edit(t, r+"/a/a.go", "d dep.D", "x dep.D")
			eachFile(t, cfg.CacheDir, func(name string, data []byte) []byte {
				if err := os.Chmod(name, 0); err != nil {
					t.Fatal(err)
				}
				return nil
			})
		},
	}
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "-mod=readonly")
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			root := cacheModule(t)
			cfg := gen.Config{Dir: root, Patterns: []string{"./..."}, CacheDir: t.TempDir()}
			if first := outcome(t, cfg); !strings.Contains(first, "EnqueueSend") {
				t.Fatalf("the first run: %s", first)
			}
			outcome(t, cfg)
			cases[name](t, root, &cfg)
			cold := cfg
			cold.CacheDir, cold.DryRun = "", true
			warm := cfg
			warm.DryRun = true
			want := outcome(t, cold)
			if got := outcome(t, warm); got != want {
				t.Errorf("with the cache:\n%s\nwithout:\n%s", got, want)
			}
			if got := outcome(t, cfg); got != want {
				t.Errorf("with the cache, writing:\n%s\nwithout:\n%s", got, want)
			}
		})
	}
}

// When nothing changed, nothing is parsed and no file is touched.
func TestRun_NothingChanged(t *testing.T) {
	t.Setenv("GOWORK", "off")
	root := cacheModule(t)
	cfg := gen.Config{Dir: root, Patterns: []string{"./..."}, CacheDir: t.TempDir()}
	first := outcome(t, cfg)
	name := filepath.Join(root, "a", gen.Output)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	if got := outcome(t, cfg); got != first {
		t.Errorf("the second run says\n%s\nnot\n%s", got, first)
	}
	if st, err := os.Stat(name); err != nil || st.ModTime().Sub(old).Abs() > time.Second {
		t.Errorf("the generated file was touched: %v, %v", st.ModTime(), err)
	}
	res, err := gen.Run(context.Background(), cfg)
	if err != nil || len(res.Packages) > 0 {
		t.Errorf("it looked at %d packages, %v", len(res.Packages), err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func eachFile(t *testing.T, dir string, do func(name string, data []byte) []byte) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		t.Fatalf("nothing in the cache: %v", err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if data := do(name, bytes.Clone([]byte(read(t, name)))); data != nil {
			write(t, name, string(data))
		}
	}
}
