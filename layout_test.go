package taskctx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/taskctx/taskctx"

// pkg is a package as go list tells it.
type pkg struct {
	ImportPath, Dir, Doc string
	Standard             bool
	GoFiles              []string
	Imports, Deps        []string
}

// short is the import path within the module, "." for the root.
func (p *pkg) short() string { return shorten(p.ImportPath) }

func shorten(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func inModule(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

// list runs go list on the patterns.
func list(t *testing.T, patterns ...string) []*pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json"}, patterns...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []*pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// layers says what each package may import beside the standard library: paths
// of this module, with /... for all below, and of others. A package is ruled by
// the longest pattern that it matches.
var layers = map[string][]string{
	".":           {},
	"annotations": {},
	"docs":        {},
	"gen/...":     {"annotations", "gen/...", "golang.org/x/...", "github.com/rogpeppe/go-internal/..."},
	"gen":         {"annotations", "gen/...", "golang.org/x/...", "github.com/rogpeppe/go-internal/...", jennifer},
	"runtime": {
		"runtime/engine", "runtime/hook", "runtime/inspect", "runtime/wire", "runtime/internal/guard", "runtime/internal/jsontext",
		"runtime/internal/life", "runtime/internal/link", "runtime/internal/locals", "runtime/internal/redact", "runtime/internal/store", uuid,
	},
	"runtime/hook":              {"runtime/engine", "runtime/inspect", uuid},
	"runtime/inspect":           {"runtime/engine", uuid},
	"runtime/glue":              {"runtime", "runtime/wire", "runtime/internal/link"},
	"runtime/engine":            {"runtime/internal/life", uuid},
	"runtime/wire":              {"runtime/engine", "runtime/internal/guard", "runtime/internal/jsontext", uuid},
	"runtime/local":             {"runtime/internal/guard", "runtime/internal/life", "runtime/internal/locals"},
	"runtime/internal/guard":    {},
	"runtime/internal/jsontext": {},
	"runtime/internal/life":     {},
	"runtime/internal/link":     {"runtime/wire"},
	"runtime/internal/locals":   {"runtime/internal/life", "runtime/wire"},
	"runtime/internal/redact":   {"runtime/internal/guard", "runtime/internal/jsontext"},
	"runtime/internal/store":    {"runtime/internal/guard"},
	"runtime/redis": {
		"runtime/engine", "runtime/internal/remote", uuid, "github.com/hibiken/asynq/...", "github.com/redis/go-redis/v9/...",
		protobuf,
	},
	"runtime/cron":               {"runtime", "github.com/robfig/cron/v3"},
	"runtime/engines":            {"runtime/...", uuid, "github.com/...", "golang.org/x/..."},
	"runtime/otel":               {"runtime", "runtime/engine", "runtime/hook", "runtime/inspect", uuid, "go.opentelemetry.io/..."},
	"cmd/taskgen":                {"annotations", "gen/...", "golang.org/x/..."},
	"cmd/taskvet":                {"golang.org/x/tools/...", "vet"},
	"vet":                        {"annotations", "gen", "gen/diag", "golang.org/x/tools/..."},
	"vet/golangci":               {"vet", "golang.org/x/tools/...", "github.com/golangci/plugin-module-register/register"},
	"cmd/taskctx/...":            {"runtime/...", "internal/bulk", "internal/timetext", uuid, "golang.org/x/..."},
	"internal/...":               {"internal/...", "golang.org/x/..."},
	"internal/tsclient":          {"runtime", "runtime/glue", "runtime/wire", uuid},
	"internal/growth":            {"runtime", "runtime/glue", "runtime/wire"},
	"internal/vetprograms":       {"gen", "github.com/stretchr/testify/require"},
	"internal/servertest/beside": {"internal/cputime", "runtime", "runtime/engine", uuid},
	"internal/servertest/fault":  {"internal/servertest", "runtime", "runtime/engine", uuid},
	"internal/bulk":              {"runtime", "runtime/engine", uuid},
	"internal/webtest":           {"runtime", "runtime/engine", "runtime/glue", "runtime/wire"},
	"internal/servertest/process": {
		"internal/pace", "runtime", "runtime/engine", "runtime/glue", "runtime/wire", uuid, "github.com/stretchr/testify/...",
	},
	"examples/...": {
		"runtime/...", "examples/...", uuid, "modernc.org/sqlite/...", "golang.org/x/...",
		"github.com/schollz/progressbar/v3",
	},
	"runtime/sqlite/...": {"runtime/engine", "runtime/sqlite/...", uuid, "modernc.org/sqlite/...", "modernc.org/libc/..."},
	"runtime/postgres/...": {
		"runtime/engine", "runtime/internal/remote", uuid, "github.com/riverqueue/...", "github.com/jackc/pgx/v5/...",
		"github.com/robfig/cron/v3",
	},
	"runtime/memory":          {"runtime/engine", uuid},
	"runtime/enginetest":      {"runtime", "runtime/engine", uuid},
	"runtime/internal/remote": {"runtime/engine", uuid},
	"runtime/seal":            {"runtime/hook"},
	"runtime/tasktest":        {"runtime", "runtime/engine", "runtime/glue", "runtime/inspect", "runtime/wire", "runtime/memory", uuid},
	"runtime/web":             {"runtime", "runtime/engine", "runtime/inspect", "runtime/wire", "internal/bulk", "internal/timetext", uuid},
}

const (
	uuid     = "github.com/google/uuid"
	protobuf = "google.golang.org/protobuf/..."
	jennifer = "github.com/dave/jennifer/jen"
)

func matches(pattern, importPath string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return importPath == base || strings.HasPrefix(importPath, base+"/")
	}
	return pattern == importPath
}

// layerOf returns the pattern that rules the package.
func layerOf(p string) (pattern string, ok bool) {
	for l := range layers {
		if matches(l, p) && (!ok || len(strings.TrimSuffix(l, "/...")) > len(strings.TrimSuffix(pattern, "/...")) ||
			l == p) {
			pattern, ok = l, true
		}
	}
	return pattern, ok
}

// TestLayout_Layers holds who may import whom.
func TestLayout_Layers(t *testing.T) {
	for _, p := range list(t, "./...") {
		layer, ok := layerOf(p.short())
		if !ok {
			t.Errorf("no rule says what %s may import: add it to layers", p.short())
			continue
		}
		for _, imp := range p.Imports {
			if standard(imp) {
				continue
			}
			if !slices.ContainsFunc(layers[layer], func(l string) bool { return matches(l, shorten(imp)) }) {
				t.Errorf("%s imports %s, which the rule for %s does not allow", p.short(), imp, layer)
			}
		}
	}
}

// standard reports whether the import path is of the standard library: its
// first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// TestLayout_Dependencies holds what packages may pull in at all, through others too.
func TestLayout_Dependencies(t *testing.T) {
	for name, allowed := range map[string][]string{
		"annotations": {},
		"runtime": {
			"runtime/engine", "runtime/hook", "runtime/inspect", "runtime/wire", "runtime/internal/guard", "runtime/internal/jsontext",
			"runtime/internal/life", "runtime/internal/link", "runtime/internal/locals", "runtime/internal/redact", "runtime/internal/store", uuid,
		},
		"runtime/engine": {"runtime/internal/life", uuid},
		"runtime/wire":   {"runtime/engine", "runtime/internal/guard", "runtime/internal/jsontext", "runtime/internal/life", uuid},
		"runtime/memory": {"runtime/engine", "runtime/internal/life", uuid},
		"gen":            {"annotations", "gen/...", jennifer, "golang.org/x/...", "github.com/rogpeppe/go-internal/..."},
	} {
		for _, p := range list(t, "./"+name) {
			for _, dep := range p.Deps {
				if !standard(dep) && !slices.ContainsFunc(allowed, func(l string) bool { return matches(l, shorten(dep)) }) {
					t.Errorf("%s depends on %s", name, dep)
				}
			}
		}
	}
	for _, p := range list(t, "./gen/...", "./cmd/taskgen", "./annotations") {
		for _, dep := range p.Deps {
			if matches("runtime/...", shorten(dep)) && inModule(dep) {
				t.Errorf("%s depends on %s: the generator and the runtime must not know each other", p.short(), dep)
			}
		}
	}
	for _, p := range list(t, "./runtime/...") {
		for _, dep := range p.Deps {
			if inModule(dep) && (matches("gen/...", shorten(dep)) || shorten(dep) == "annotations") {
				t.Errorf("%s depends on %s: the generator and the runtime must not know each other", p.short(), dep)
			}
			if dep == "testing" && !slices.Contains([]string{"runtime/enginetest", "runtime/tasktest"}, p.short()) {
				t.Errorf("%s depends on the package testing", p.short())
			}
		}
	}
}

// shortLines is how many lines go doc -short prints of a package at most: a page that
// somebody reads before the first task. What only hooks, tools, engines or generated
// code need has a package of its own.
var shortLines = map[string]int{"runtime": 106}

// TestLayout_ShortDocs holds how much there is to read of a package.
func TestLayout_ShortDocs(t *testing.T) {
	for name, most := range shortLines {
		out, err := exec.CommandContext(t.Context(), "go", "doc", "-short", "./"+name).Output()
		if err != nil {
			t.Fatalf("go doc -short ./%s: %v", name, err)
		}
		if n := bytes.Count(out, []byte("\n")); n > most {
			t.Errorf("go doc -short ./%s prints %d lines, more than %d: find a room for what is new", name, n, most)
		}
	}
}

// TestLayout_JenniferIsInRenderFilesOnly: the other stages do not know how code is
// written.
func TestLayout_JenniferIsInRenderFilesOnly(t *testing.T) {
	found := false
	for _, p := range list(t, "./...") {
		if !slices.Contains(p.Imports, jennifer) {
			continue
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			if !importsPath(f, jennifer) {
				continue
			}
			found = true
			if p.short() != "gen" || !strings.HasPrefix(name, "render") {
				t.Errorf("%s imports jennifer: only gen's render files may", path.Join(p.short(), name))
			}
		}
	}
	if !found {
		t.Error("no file imports jennifer: this test looks for the wrong thing")
	}
}

func importsPath(f *ast.File, want string) bool {
	return slices.ContainsFunc(f.Imports, func(s *ast.ImportSpec) bool {
		got, err := strconv.Unquote(s.Path.Value)
		return err == nil && got == want
	})
}

// TestLayout_PackagesAreDocumented: each has a comment that begins as godoc expects.
func TestLayout_PackagesAreDocumented(t *testing.T) {
	for _, p := range list(t, "./...") {
		if p.Doc == "" && len(p.GoFiles) > 0 { // tests alone need none
			t.Errorf("%s has no doc comment", p.short())
		}
	}
}
