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
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/taskctx/taskctx/gen"
)

// lab is a module to try one file after another in, with an importer for what
// files may import.
type lab struct {
	root, cache string
	imports     types.Importer
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{root: t.TempDir(), cache: t.TempDir()}
	exports := map[string]string{}
	writeModule(t, l.root, "lab.test")
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}",
		"github.com/taskctx/taskctx/runtime/glue", "context", "database/sql", "encoding/json", "iter", "math/big", "net/http",
		"net/netip", "net/url", "github.com/google/uuid")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	// One for all files that are tried: what it read once it has.
	l.imports = importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
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
	conf := types.Config{Importer: l.imports, FakeImportC: true, Error: func(err error) {
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
	seeds := 0
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if strings.HasSuffix(file.Name, ".go") && !strings.HasPrefix(file.Name, "want/") && len(file.Data) < 4000 {
				if seeds++; seeds%oneIn == 0 {
					f.Add(string(file.Data))
				}
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

// hostile are names that generated code uses itself, or derives from others.
var hostile = []string{
	"Send", "send", "ctx", "q", "opts", "args", "a", "f", "app", "err", "scope", "v", "cleanup", "fields", "to", "name",
	"sendArgs", "sendTask", "SendCall", "EnqueueSend", "ctxArgs", "ctxTask", "CtxCall", "Ctx", "newCtx", "newSend", "open",
	"Open", "openKey", "provideOpen", "provideSend", "RegisterTasks", "runtime", "context", "time", "Context", "App", "Call",
	"Enqueue", "string", "error", "nil", "any", "new", "len", "int", "bool", "true", "append", "struct", "Err", "Value", "_",
	"ctxValue", "optsValue", "argsValue", "fieldsValue", "a2", "f2", "q2", "Été", "é", "été", "世", "HTTPGet", "httpGet",
	"httpGetArgs", "taskgen", "rt2", "time2", "Time", "T", "t", "Handle", "Void", "Spec", "Params", "Name", "glue", "wire",
}

// Whatever functions, parameters, types and declarations beside them are
// called, what is accepted compiles.
func FuzzNames(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 / oneIn {
		pick := make([]byte, 8)
		for i := range pick {
			pick[i] = byte(r.IntN(len(hostile)))
		}
		f.Add(pick, "x")
	}
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, "ünïcode")
	l := newLab(f)
	f.Fuzz(func(t *testing.T, pick []byte, free string) {
		if len(pick) < 8 {
			t.Skip("too few names")
		}
		n := make([]string, 8)
		for i := range n {
			n[i] = hostile[int(pick[i])%len(hostile)]
		}
		if token.IsIdentifier(free) && len(free) < 40 {
			n[1] = free
		}
		src, ok := namesSource(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7])
		if !ok {
			t.Skip("not Go")
		}
		if out := l.try(t, src); out != "" {
			l.compiles(t, src, out)
		}
	})
}

// namesSource is a file that uses the names for all that has a name, or false
// if Go would not have them.
func namesSource(fn, p1, p2, typ, global, ctxType, field, open string) (string, bool) {
	declared := map[string]bool{"rt": true, "tm": true, "init": true, "main": true, "_": true}
	for _, name := range []string{fn, typ, global, ctxType, open} {
		if declared[name] || !token.IsIdentifier(name) {
			return "", false
		}
		declared[name] = true
	}
	if p1 == p2 || !token.IsIdentifier(p1) || !token.IsIdentifier(p2) || !token.IsIdentifier(field) || field == "Context" {
		return "", false
	}
	return fmt.Sprintf(`package p

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
func %[8]s(%[1]s %[4]s) (tm.Duration, error) { panic(0) }

//task:context timeout=5s
func %[1]s(c *%[6]s, %[2]s %[4]s, %[3]s ...tm.Time) (%[4]s, error) { panic(0) }
`, fn, p1, p2, typ, global, ctxType, field, open), true
}
