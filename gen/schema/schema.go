// Package schema describes tasks for programs in other languages.
package schema

import (
	"fmt"
	"go/types"
	"io"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/gen"
	"github.com/taskctx/taskctx/gen/wiretype"
)

// Formats are the formats that [Write] knows.
func Formats() []string { return []string{"jsonschema", "openapi", "asyncapi", "ts", "sql"} }

// Write describes the tasks of a run of the generator: as JSON Schema, as OpenAPI of the web API that enqueues them, as AsyncAPI, as a
// client in TypeScript of that API, or as functions of Postgres.
func Write(w io.Writer, res *gen.Result, format string) error {
	tasks := tasksOf(res)
	switch format {
	case "jsonschema":
		return writeJSONSchema(w, tasks)
	case "openapi":
		return writeOpenAPI(w, tasks)
	case "asyncapi":
		return writeAsyncAPI(w, tasks)
	case "ts":
		return writeTypeScript(w, tasks)
	case "sql":
		return WriteSQL(w, res, DefaultSQLSchema)
	}
	return fmt.Errorf("there is no format %q: it is one of %s", format, strings.Join(Formats(), ", "))
}

// WriteSQL writes functions for a database of Postgres, in a schema that package
// postgres has its tables in, which enqueue the tasks.
func WriteSQL(w io.Writer, res *gen.Result, schema string) error {
	return writeSQL(w, tasksOf(res), schema)
}

// task is a task as other languages see it.
type task struct {
	*gen.Task
	params []param
	result *wiretype.Shape // nil for none
}

type param struct {
	*gen.Param
	shape *wiretype.Shape
}

// tasksOf returns the tasks of all packages, and those that they are clients of, by
// name.
func tasksOf(res *gen.Result) []task {
	var all []task
	for _, pkg := range res.Packages {
		tasks := slices.Clone(pkg.Tasks)
		for _, c := range pkg.Clients {
			tasks = append(tasks, c.Tasks...)
		}
		for _, t := range tasks {
			s := task{Task: t}
			for _, p := range t.Params {
				s.params = append(s.params, param{p, wiretype.ShapeOf(p.Type)})
			}
			if t.Result != nil {
				s.result = wiretype.ShapeOf(t.Result)
			}
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b task) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(all, func(a, b task) bool { return a.Name == b.Name })
}

// about returns the task's comment as one text.
func (t *task) about() string { return strings.TrimSpace(t.Doc) }

// defs gives a name to each shape that is written once.
type defs struct {
	types []types.Type
	names []string
	taken map[string]bool
}

func newDefs(taken ...string) *defs {
	d := &defs{taken: map[string]bool{}}
	for _, name := range taken {
		d.taken[name] = true
	}
	return d
}

// name returns the name of a shape, and whether it has one for the first time.
// spell writes the name of a Go type.
func (d *defs) name(s *wiretype.Shape, spell func(goName string) string) (name string, first bool) {
	for i, t := range d.types {
		if types.Identical(t, s.Type) {
			return d.names[i], false
		}
	}
	base := s.Go
	if base == "" {
		base = "struct"
	}
	name = unique(spell(base), d.taken)
	d.types, d.names = append(d.types, s.Type), append(d.names, name)
	return name, true
}

// OfType returns the JSON Schema of the values of a type that wiretype.Check
// accepts, by itself.
func OfType(t types.Type) map[string]any {
	j := newJSONSchemas("#/$defs/")
	schema := object{"allOf": []any{j.of(wiretype.ShapeOf(t))}}
	schema["$schema"], schema["$defs"] = draft, j.all
	return schema
}
