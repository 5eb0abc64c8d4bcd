package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// modulesHead begins the part of docs/speed/taskgen.md that modulesTable prints.
const modulesHead = "## In a module"

const modulesPreface = modulesHead + `

Printed by "make speed-modules", in seconds and with ratios as above. All are warm: the
go command has built taskgen, and compiled what the packages import.

`

const generatePreface = `A module of 30 packages of 10 tasks: one run of taskgen for all, the same as a tool of
the module, and go generate with one line at the module's root or a line in each package,
which is a process of the go command and one of taskgen for each.

`

const heavyPreface = `A package of 100 tasks whose context has the clients of a service: pgx, River, go-redis,
asynq, OpenTelemetry, SQLite and protobuf. It depends on %d packages.

`

// heavy are tasks of a package with heavy dependencies.
var heavy = input{
	name: "heavy",
	head: `
type Clients struct {
	*runtime.Context
	Pool     *pgxpool.Pool                 ` + "`task:\"supply\"`" + `
	River    *river.Client[pgx.Tx]         ` + "`task:\"supply\"`" + `
	Redis    goredis.UniversalClient       ` + "`task:\"supply\"`" + `
	Asynq    *asynq.Client                 ` + "`task:\"supply\"`" + `
	Tracer   *sdktrace.TracerProvider      ` + "`task:\"supply\"`" + `
	Driver   *sqlite.Driver                ` + "`task:\"supply\"`" + `
	Settings *structpb.Struct              ` + "`task:\"supply\"`" + `
}

//task:context
func Sync(ctx *Clients, since time.Time) error { return nil }
`,
	imports: `
	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"
	"github.com/riverqueue/river"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/protobuf/types/known/structpb"
	"modernc.org/sqlite"
`,
}

// modulesTable measures go generate in a module of many packages, and taskgen on
// a package with heavy dependencies.
func modulesTable(dir, repo string, n int) (string, error) {
	names := []string{ours, "taskgen (files removed)", "taskgen (no cache)", "go list -deps -export", "packages.Load"}
	tools, err := findTools(dir, repo, names)
	if err != nil {
		return "", err
	}
	many, err := measureAll(dir, repo, "30x10", n, generateTools(tools[0]))
	if err != nil {
		return "", err
	}
	for i := range tools {
		tools[i].input = heavy
	}
	deep, err := measureAll(dir, repo, "100", n, tools)
	if err != nil {
		return "", err
	}
	deps, err := dependencies(filepath.Join(dir, heavy.name+"-100"))
	if err != nil {
		return "", err
	}
	return modulesPreface + generatePreface + many.bothTables() + "\n" + fmt.Sprintf(heavyPreface, deps) + deep.bothTables(), nil
}

// generateTools are the ways to run taskgen on a whole module.
func generateTools(taskgen tool) []tool {
	goTool := func(s *shape) error { return s.append("go.mod", "\ntool github.com/taskctx/taskctx/cmd/taskgen\n") }
	line := func(dir, pkg, args string) func(s *shape) error {
		return func(s *shape) error {
			return s.write(filepath.Join(dir, "generate.go"), "package "+pkg+"\n\n//go:generate go tool taskgen"+args+"\n")
		}
	}
	generate := func(_ string, s *shape) error { return s.command("go", "generate", "./...") }
	list := []tool{taskgen, {
		name: "go tool taskgen ./...", prepare: goTool,
		run: func(_ string, s *shape) error { return s.command("go", "tool", "taskgen", "./...") },
	}, {
		name: "go generate ./..., one line", run: generate,
		prepare: func(s *shape) error {
			if err := goTool(s); err != nil {
				return err
			}
			return line(".", "shape", " ./...")(s)
		},
	}, {
		name: "go generate ./..., a line in each", run: generate,
		prepare: func(s *shape) error {
			if err := goTool(s); err != nil {
				return err
			}
			for k := range s.packages {
				pkg := fmt.Sprintf("p%d", k)
				if err := line(pkg, pkg, "")(s); err != nil {
					return err
				}
			}
			return nil
		},
	}}
	for i := range list {
		list[i].input, list[i].output = tasks, output
	}
	return list
}

// measureAll measures tools on a shape, the first of which is the base of the
// ratios.
func measureAll(dir, repo, name string, n int, tools []tool) (*figures, error) {
	all := &figures{}
	var base []figure
	for i, t := range tools {
		s, err := newShape(filepath.Join(dir, t.input.name+"-"+name), name, repo, t.input)
		if err != nil {
			return nil, err
		}
		measured, err := measure(t, s, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		if i == 0 {
			base = measured
		}
		for k, f := range measured {
			f.BaseWall, f.BaseCPU = base[k].Wall, base[k].CPU
			all.put(f)
		}
	}
	return all, nil
}

// bothTables returns the table of the clock and that of processor time.
func (all *figures) bothTables() string {
	return "Wall clock:\n\n" +
		all.markdown(false, func(f figure) (took, base time.Duration) { return f.Wall, f.BaseWall }) +
		"\nProcessor time:\n\n" +
		all.markdown(false, func(f figure) (took, base time.Duration) { return f.CPU, f.BaseCPU })
}

// dependencies counts the packages that those of a module depend on.
func dependencies(dir string) (int, error) {
	out, err := goOutput(dir, "list", "-mod=mod", "-deps", "./...")
	if err != nil {
		return 0, err
	}
	return strings.Count(out, "\n"), nil
}
