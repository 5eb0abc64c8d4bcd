package twogo

import (
	"bufio"
	"flag"
	"fmt"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"

	"github.com/taskctx/taskctx/gen"
	"github.com/taskctx/taskctx/gen/wiretype"
	"github.com/taskctx/taskctx/internal/servertest"
)

var (
	seed  = flag.Int64("seed", 1, "the seed of the random types and of the values")
	count = flag.Int("types", 40, "how many random types")
	file  = flag.Bool("file", false, "test on a SQLite file, too, for which each Go compiles SQLite, a minute each")
	large = flag.Bool("modules", false, "test the types of large modules, too, which takes minutes")
)

// repo is the root of this module.
const repo = "../.."

// toolchains returns two versions of Go: that of the test, and the newest one
// that is tested, or the oldest one if that is the test's own.
func toolchains(t *testing.T) [2]string {
	t.Helper()
	newest, err := os.ReadFile(repo + "/.ci/newest-go")
	require.NoError(t, err)
	own, other := runtime.Version(), strings.TrimSpace(string(newest))
	if own == other {
		mod, err := os.ReadFile(repo + "/go.mod")
		require.NoError(t, err)
		other = "go" + string(regexp.MustCompile(`(?m)^go (\S+)`).FindSubmatch(mod)[1])
	}
	cmd := exec.Command("go", "version")
	cmd.Env = with(other)
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Getenv("TASKCTX_REQUIRE_NEWEST_GO") == "1" {
			t.Fatalf("no %s here: %v\n%s", other, err, out)
		}
		t.Skipf("no %s here, and it cannot be fetched: %v\n%s", other, err, out)
	}
	return [2]string{own, other}
}

func with(toolchain string) []string {
	return append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOWORK=off", "GOFLAGS=-mod=readonly")
}

// Workers of both versions run each other's tasks, of random types, on one database,
// and if asked to on one file: all come back equal, and none is parked. taskgen writes
// the same bytes with both.
//
// Proves: FEATURES 73, 75, RELIABILITY 13
func TestTwoGo_RandomTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program twice")
	}
	s := newSource()
	s.random(*seed, *count)
	exchange(t, s)
}

func exchange(t *testing.T, s *source) {
	versions := toolchains(t)
	dir := filepath.Join(t.TempDir(), "m")
	generate(t, dir, versions, s)
	var programs [2]string
	for i, version := range versions {
		programs[i] = filepath.Join(dir, "..", version)
		build := exec.Command("go", "build", "-o", programs[i], ".")
		build.Dir, build.Env = dir, with(version)
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s: %s", version, out)
	}
	stores := map[string]string{"postgres": ""}
	if *file {
		stores["sqlite"] = "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	}
	for name, url := range stores {
		t.Run(name, func(t *testing.T) {
			if url == "" {
				url = servertest.Postgres(t)
			}
			for i := range versions { // one sends, the other works
				stop := work(t, programs[1-i], url)
				send(t, programs[i], url)
				stop()
			}
			for i := range versions { // both work at once
				defer work(t, programs[i], url)()
			}
			send(t, programs[0], url)
			send(t, programs[1], url)
		})
	}
}

// generate writes the program: without the tasks that are refused, which must
// be the same with each version of Go, as must be the generated file.
func generate(t *testing.T, dir string, versions [2]string, s *source) {
	t.Helper()
	mod, err := os.ReadFile(repo + "/go.mod")
	require.NoError(t, err)
	root, err := filepath.Abs(repo)
	require.NoError(t, err)
	write(t, dir, "go.mod", "module two.test\n"+regexp.MustCompile(`(?m)^(module .*|tool .*)$`).ReplaceAllString(string(mod), "")+
		"\nrequire github.com/taskctx/taskctx v0.0.0\n\nreplace github.com/taskctx/taskctx => "+root+"\n")
	sum, err := os.ReadFile(repo + "/go.sum")
	require.NoError(t, err)
	write(t, dir, "go.sum", string(sum))
	program, err := os.ReadFile("testdata/main.go")
	require.NoError(t, err)
	write(t, dir, "main.go", string(program))
	store := "postgres"
	if *file {
		store = "engines"
	}
	opening, err := os.ReadFile(filepath.Join("testdata", store, "open.go"))
	require.NoError(t, err)
	write(t, dir, "open.go", string(opening))

	var texts, said [2]string
	refused := map[int]bool{}
	for i, version := range versions {
		write(t, dir, "tasks.go", s.file(nil))
		res := run(t, dir, version)
		said[i] = ""
		for _, d := range res.Diagnostics {
			said[i] += d.Text(dir) + "\n"
			if m := regexp.MustCompile(`^func T(\d+)\(`).FindStringSubmatch(lineOf(t, d.Pos.Filename, d.Pos.Line)); m != nil {
				var n int
				fmt.Sscan(m[1], &n)
				refused[n] = true
			}
		}
		write(t, dir, "tasks.go", s.file(refused))
		res = run(t, dir, version)
		require.Empty(t, res.Diagnostics)
		out, err := os.ReadFile(filepath.Join(dir, gen.Output))
		require.NoError(t, err)
		texts[i] = string(out)
	}
	if testing.Verbose() {
		t.Log(said[0])
	}
	assert.Equal(t, said[0], said[1], "what taskgen refuses with %v", versions)
	assert.Equal(t, texts[0], texts[1], "what taskgen writes with %v", versions)
	t.Logf("%d types, %d refused, on %v", len(s.tasks), len(refused), versions)
}

func run(t *testing.T, dir, version string) *gen.Result {
	t.Helper()
	res, err := gen.Run(t.Context(), gen.Config{Dir: dir, Env: with(version)})
	require.NoError(t, err)
	return res
}

func lineOf(t *testing.T, file string, line int) string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.Split(string(data), "\n")[line-1]
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
}

// work starts a worker, and returns what stops it.
func work(t *testing.T, program, url string) (stop func()) {
	t.Helper()
	cmd := exec.Command(program, url, "work")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	assert.NoError(t, err)
	assert.Equal(t, "working\n", line)
	return func() {
		_ = in.Close() // it may have ended
		assert.NoError(t, cmd.Wait(), filepath.Base(program))
	}
}

func send(t *testing.T, program, url string) {
	t.Helper()
	out, err := exec.Command(program, url, "send", fmt.Sprint(*seed)).CombinedOutput()
	assert.NoError(t, err, "%s\n%s", filepath.Base(program), out)
	t.Logf("%s: %s", filepath.Base(program), out)
}

// modules are packages of large modules that a service imports.
var modules = []string{
	"github.com/jackc/pgx/v5/pgtype", "github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgconn",
	"github.com/riverqueue/river", "github.com/riverqueue/river/rivertype",
	"github.com/hibiken/asynq", "github.com/redis/go-redis/v9",
	"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/sdk/metric/metricdata",
	"google.golang.org/protobuf/types/known/timestamppb", "google.golang.org/protobuf/types/descriptorpb",
	"net/http", "net/mail", "crypto/x509", "image/color", "log/slog",
}

// Of the exported types of modules that services import, values of those that
// taskgen accepts come back equal, unless the type encodes itself.
//
// Proves: FEATURES 118
func TestTwoGo_ModuleTypes(t *testing.T) {
	if !*large {
		t.Skip("make types-modules runs it")
	}
	cfg := &packages.Config{Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports}
	pkgs, err := packages.Load(cfg, modules...)
	require.NoError(t, err)
	s := newSource()
	refused := 0
	for _, pkg := range pkgs {
		require.Empty(t, pkg.Errors)
		scope := pkg.Types.Scope()
		for _, name := range scope.Names() {
			obj, ok := scope.Lookup(name).(*types.TypeName)
			if !ok || !obj.Exported() || types.IsInterface(obj.Type()) || generic(obj.Type()) {
				continue
			}
			if pkg.Name+"."+name == "pgtype.Numeric" {
				continue // a random exponent is a number of gigabytes
			}
			if len(wiretype.Check(obj.Type(), nil)) > 0 {
				refused++
				continue
			}
			s.imports[pkg.PkgPath] = pkg.Name
			s.tasks = append(s.tasks, task{pkg.Name + "." + name, len(wiretype.LimitsOf(obj.Type(), nil).Trusted) == 0})
		}
	}
	t.Logf("%d exported types accepted, %d refused", len(s.tasks), refused)
	require.Greater(t, len(s.tasks), 100)
	exchange(t, s)
}

func generic(t types.Type) bool {
	switch t := t.(type) {
	case *types.Named:
		return t.TypeParams().Len() > 0
	case *types.Alias:
		return t.TypeParams().Len() > 0
	}
	return false
}
