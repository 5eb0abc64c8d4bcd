package gen_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/tools/txtar"

	"github.com/taskctx/taskctx/gen"
)

// lab is a module to try one file after another in, with an importer for what
// files may import.
type lab struct {
	root, cache string
	exports     map[string]string
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{root: t.TempDir(), cache: t.TempDir(), exports: map[string]string{}}
	writeModule(t, l.root, "lab.test")
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}",
		"github.com/taskctx/taskctx/runtime", "context", "database/sql", "encoding/json", "iter", "math/big", "net/http",
		"net/netip", "net/url", "github.com/google/uuid")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		l.exports[path] = file
	}
	return l
}

// try generates for a package with this one file. It returns the generated
// file, or "" if the source was refused.
func (l *lab) try(t testing.TB, src string) string {
	t.Helper()
	dir := filepath.Join(l.root, "p")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "p.go"), src)
	res, err := gen.Run(context.Background(), gen.Config{
		Dir: dir, CacheDir: l.cache, DryRun: true, Env: append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod"),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	if len(res.Diagnostics) > 0 {
		for _, d := range res.Diagnostics {
			if d.Pos.Filename == "" || d.Pos.Line == 0 || d.Message == "" || d.Code == "" {
				t.Errorf("the diagnostic %+v has no place\n%s", d, src)
			}
		}
		return ""
	}
	for _, f := range res.Files {
		return string(f.New)
	}
	return ""
}

// compiles checks that a generated file compiles beside its source, and is
// formatted.
func (l *lab) compiles(t testing.TB, src, out string) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for name, text := range map[string]string{"p.go": src, gen.Output: out} {
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, src, out)
		}
		files = append(files, f)
	}
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if l.exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(l.exports[path])
	})
	conf := types.Config{Importer: imp, FakeImportC: true, Error: func(err error) {
		e := err.(types.Error)
		pos := fset.Position(e.Pos)
		if pos.Filename == gen.Output || strings.Contains(e.Msg, gen.Output) {
			t.Errorf("%v\n%s\n%s", err, src, out)
		}
	}}
	_, _ = conf.Check("lab.test/p", fset, files, nil) // the errors are reported as they come
	if text, err := format.Source([]byte(out)); err != nil || string(text) != out {
		t.Errorf("it is not formatted: %v\n%s", err, out)
	}
}

// Whatever a source file holds, the generator does not panic, and what it
// accepts gives code that compiles.
func FuzzFile(f *testing.F) {
	names, err := filepath.Glob(filepath.Join(goldens, "*.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if strings.HasSuffix(file.Name, ".go") && !strings.HasPrefix(file.Name, "want/") && len(file.Data) < 4000 {
				f.Add(string(file.Data))
			}
		}
	}
	l := newLab(f)
	f.Fuzz(func(t *testing.T, src string) {
		if out := l.try(t, src); out != "" {
			l.compiles(t, src, out)
		}
	})
}

// Whatever functions, parameters, types and declarations beside them are
// called, what is accepted compiles.
func FuzzNames(f *testing.F) {
	f.Add("Send", "to", "body", "T", "other", "Ctx", "Field", "open")
	f.Add("ctx", "ctx", "q", "opts", "args", "runtime", "Context", "context")
	f.Add("a", "f", "string", "sendArgs", "aTask", "time", "err", "v")
	f.Add("new", "len", "any", "error", "nil", "newCtx", "Err", "provideOpen")
	f.Add("Enqueue", "Call", "EnqueueCall", "CallCall", "EnqueueEnqueue", "RegisterTasks", "App", "app")
	f.Add("HTTPGet", "httpGetTask", "httpGetArgs", "HTTPGetCall", "fields", "A", "B", "openKey")
	f.Add("ünïcode", "ñ", "世", "Été", "é", "Ω", "Ж", "ж")
	l := newLab(f)
	f.Fuzz(func(t *testing.T, fn, p1, p2, typ, global, ctxType, field, open string) {
		decls := map[string]bool{}
		for _, name := range []string{fn, p1, p2, typ, global, ctxType, field, open} {
			if !token.IsIdentifier(name) || len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r == unicode.ReplacementChar }) {
				t.Skip("no identifier")
			}
		}
		for _, name := range []string{fn, typ, global, ctxType, open} {
			if name == "_" || decls[name] || name == "init" || name == "main" {
				t.Skip("declared twice")
			}
			decls[name] = true
		}
		imports := map[string]bool{"rt": true, "context": true, "tm": true}
		if p1 == p2 || slices.ContainsFunc(slices.Collect(maps.Keys(decls)), func(s string) bool { return imports[s] }) {
			t.Skip("not Go")
		}
		src := fmt.Sprintf(`package p

import (
	rt "github.com/taskctx/taskctx/runtime"
	tm "time"
)

type %[4]s struct{ A int }

var %[5]s int

type %[6]s struct {
	*rt.Context
	%[7]s tm.Duration
}

//task:provide worker
func %[8]s(%[1]s %[4]s) (tm.Duration, error) { return 0, nil }

//task:context timeout=5s
func %[1]s(c *%[6]s, %[2]s %[4]s, %[3]s ...tm.Time) (%[4]s, error) { panic(0) }
`, fn, p1, p2, typ, global, ctxType, field, open)
		if out := l.try(t, src); out != "" {
			l.compiles(t, src, out)
		}
	})
}
