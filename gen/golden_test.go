package gen_test

import (
	"bytes"
	"context"
	"flag"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/taskctx/taskctx/gen"
)

var (
	update = flag.Bool("update", false, "write what the generator does now into the goldens")
	only   = flag.String("golden", "*", "the goldens to test, as a pattern of file names without .txtar")
	texts  = flag.Bool("texts", false, "compare only what is generated and reported: nothing is compiled or run")
)

// A golden is a txtar archive: a package tree, and what becomes of it in files
// below want/:
//
//	want/tasks_gen.go      the generated file, in the directory it belongs to
//	want/errors            what taskgen says; then nothing is generated
//	want/notes             what it says beside the generated files
//	want/build             what the compiler says of the package
//	want/stdout            what the program in the golden's root prints
//
// All goldens are extracted into one module, so that one run of the go command
// compiles them all.
const goldens = "../testdata/golden"

const goldenModule = "golden.test"

// programDir is the directory of the programs among the goldens, in the module's
// root.
const programDir = ".programs"

type golden struct {
	name, file string
	archive    *txtar.Archive
	dir        string
	want, got  map[string]string
}

func TestGoldens(t *testing.T) {
	root := goldenRoot(t)
	names, err := filepath.Glob(filepath.Join(goldens, *only+".txtar"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	var all []*golden
	cache := t.TempDir()
	for i, name := range names {
		if len(names) > 1 && i%oneIn != 0 {
			continue
		}
		g := readGolden(t, name, root)
		g.hide(t)
		all = append(all, g)
	}
	for _, g := range all {
		g.show(t)
		g.generate(t, cache)
		g.hide(t)
	}
	for _, g := range all {
		g.show(t)
	}
	if *texts {
		for _, g := range all {
			delete(g.want, "build")
			delete(g.want, "stdout")
		}
	} else {
		built := build(t, root, all)
		for _, g := range all {
			g.compiled(built)
			g.run(t, root)
		}
	}
	for _, g := range all {
		t.Run(g.name, func(t *testing.T) { g.compare(t) })
	}
}

// goldenRoot makes the module that the goldens are extracted into.
func goldenRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "m")
	writeModule(t, root, goldenModule)
	t.Setenv("GOFLAGS", "-mod=readonly")
	t.Setenv("GOWORK", "off")
	return root
}

// writeModule writes the go.mod and go.sum of a module that uses this one.
func writeModule(t testing.TB, root, path string) {
	t.Helper()
	repo, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^(module .*|tool .*)$`).ReplaceAllString(string(mod), "")
	text = "module " + path + "\n" + text +
		"\nrequire github.com/taskctx/taskctx v0.0.0\n\nreplace github.com/taskctx/taskctx => " + repo + "\n"
	write(t, filepath.Join(root, "go.mod"), text)
	sum, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "go.sum"), string(sum))
}

func readGolden(t *testing.T, file, root string) *golden {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(filepath.Base(file), ".txtar")
	g := &golden{
		name: name, file: file, archive: a, dir: filepath.Join(root, name),
		want: map[string]string{}, got: map[string]string{},
	}
	for _, f := range a.Files {
		if rest, ok := strings.CutPrefix(f.Name, "want/"); ok {
			g.want[rest] = string(f.Data)
			continue
		}
		write(t, filepath.Join(g.dir, f.Name), string(f.Data))
	}
	return g
}

// generate runs the generator, twice: the second time nothing may change. What it
// wrote is taken away until all goldens are generated, since in one module two
// packages may not have tasks of one name. The cache keeps only where export data
// is, which the go command takes longest to say.
func (g *golden) generate(t *testing.T, cache string) {
	t.Helper()
	cfg := gen.Config{Dir: g.dir, Patterns: []string{"./..."}, CacheDir: cache}
	res, err := gen.Run(context.Background(), cfg)
	if err != nil {
		g.got["errors"] = strings.ReplaceAll(err.Error(), g.dir, "$DIR") + "\n"
		return
	}
	if len(res.Diagnostics) > 0 {
		var b strings.Builder
		for _, d := range res.Diagnostics {
			b.WriteString(d.Text(g.dir) + "\n")
		}
		g.got["errors"] = b.String()
		return
	}
	for _, d := range res.Notes {
		g.got["notes"] += d.Text(g.dir) + "\n"
	}
	for _, f := range res.Files {
		rel, err := filepath.Rel(g.dir, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if f.New != nil {
			formatted, err := format.Source(f.New)
			require.NoError(t, err)
			assert.Equal(t, string(formatted), string(f.New), "%s: gofmt changes %s", g.name, rel)
			g.got[filepath.ToSlash(rel)] = string(f.New)
		}
	}
	forget(t, cache)
	again, err := gen.Run(context.Background(), cfg)
	if err != nil {
		t.Fatalf("%s: the second run: %v", g.name, err)
	}
	for _, f := range again.Files {
		if f.Stale() {
			t.Errorf("%s: the second run changes %s", g.name, f.Name)
		}
	}
}

// forget removes what the generator remembers of packages that it generated.
func forget(t *testing.T, cache string) {
	t.Helper()
	made, err := filepath.Glob(filepath.Join(cache, "made-*"))
	require.NoError(t, err)
	for _, name := range made {
		require.NoError(t, os.Remove(name))
	}
}

// hidden ends the name of a generated file that is out of the way.
const hidden = ".hidden"

// hide takes the generated files of the golden, its own and those that it came
// with, out of the way of others; show brings them back.
func (g *golden) hide(t *testing.T) { g.rename(t, gen.Output, gen.Output+hidden) }

func (g *golden) show(t *testing.T) { g.rename(t, gen.Output+hidden, gen.Output) }

func (g *golden) rename(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(g.dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Base(name) == from {
			err = os.Rename(name, filepath.Join(filepath.Dir(name), to))
		}
		return err
	}))
}

// build compiles and vets the goldens that are generated from, and returns what
// is said, by golden. The others need not even load, and then the go command
// would compile none.
func build(t *testing.T, root string, all []*golden) map[string]string {
	t.Helper()
	var dirs []string
	for _, g := range all {
		if g.got["errors"] == "" {
			dirs = append(dirs, "./"+g.name+"/...")
		}
	}
	if len(dirs) == 0 {
		return nil
	}
	programs := filepath.Join(root, programDir) + string(filepath.Separator)
	said := map[string]string{}
	for _, args := range [][]string{ // with -o, what is no program is not even compiled
		append([]string{"build", "-ldflags=-s -w", "-o", programs}, dirs...),
		append([]string{"build"}, noPrograms(t, root, dirs)...),
		append([]string{"vet"}, dirs...),
	} {
		for name, text := range goCommand(t, root, args...) {
			if said[name] == "" {
				said[name] = text
			}
		}
	}
	return said
}

// noPrograms returns the packages that are none.
func noPrograms(t *testing.T, root string, dirs []string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-f", `{{if ne .Name "main"}}{{.ImportPath}}{{end}}`}, dirs...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

func goCommand(t *testing.T, root string, args ...string) map[string]string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	said := map[string]string{}
	name := ""
	for line := range strings.Lines(string(out)) {
		if pkg, ok := strings.CutPrefix(line, "# "); ok {
			pkg = strings.Trim(strings.TrimSpace(pkg), "[]")
			name, _, _ = strings.Cut(strings.TrimPrefix(pkg, goldenModule+"/"), "/")
			continue
		}
		line = strings.TrimPrefix(line, "vet: ")
		line = strings.Replace(strings.TrimPrefix(line, "./"), name+"/", "", 1)
		said[name] += line
	}
	if err != nil && len(said) == 0 {
		t.Fatalf("go %s: %v\n%s", args[0], err, out)
	}
	return said
}

func (g *golden) compiled(said map[string]string) {
	if g.got["errors"] != "" {
		return // an error in the source need not compile
	}
	if out := said[g.name]; out != "" {
		g.got["build"] = out
	}
}

// run runs the golden's program, if it has one and says what it prints.
func (g *golden) run(t *testing.T, root string) {
	t.Helper()
	if _, ok := g.want["stdout"]; !ok || g.got["errors"] != "" || g.got["build"] != "" {
		return
	}
	cmd := exec.Command(filepath.Join(root, programDir, g.name))
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: run: %v\n%s", g.name, err, stderr.Bytes())
	}
	g.got["stdout"] = string(out)
}

func (g *golden) compare(t *testing.T) {
	if *update {
		g.update(t)
		return
	}
	if diff := cmp.Diff(g.want, g.got); diff != "" {
		t.Errorf("%s (- want, + got):\n%s", g.file, diff)
	}
}

func (g *golden) update(t *testing.T) {
	kept := g.archive.Files[:0]
	for _, f := range g.archive.Files {
		if !strings.HasPrefix(f.Name, "want/") {
			kept = append(kept, f)
		}
	}
	var names []string
	for name := range g.got {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		kept = append(kept, txtar.File{Name: "want/" + name, Data: []byte(g.got[name])})
	}
	g.archive.Files = kept
	if err := os.WriteFile(g.file, txtar.Format(g.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Every kind of mistake that the code can report is shown by a golden or a
// script.
func TestGoldens_ShowEveryDiagnostic(t *testing.T) {
	shown := map[string]bool{}
	for _, pattern := range []string{filepath.Join(goldens, "*.txtar"), "../testdata/script/*.txtar"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			for _, m := range regexp.MustCompile(`\[([a-z-]+)\]|([a-z]+-[a-z-]+)`).FindAllStringSubmatch(read(t, name), -1) {
				shown[m[1]+m[2]] = true
			}
		}
	}
	codes := map[string]string{}
	call := regexp.MustCompile(`(?s)(?:report|errorf|note)\([^"` + "`" + `]*?,\s*"([a-z-]+)"|Code:\s*"([a-z-]+)"`)
	for _, pattern := range []string{"*.go", "load/*.go", "../annotations/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, m := range call.FindAllStringSubmatch(read(t, name), -1) {
				codes[m[1]+m[2]] = name
			}
		}
	}
	if len(codes) < 40 {
		t.Errorf("only %d codes were found: this test looks for the wrong thing", len(codes))
	}
	for code, name := range codes {
		if !shown[code] {
			t.Errorf("%s in %s is shown by no golden", code, name)
		}
	}
}
