package typetable

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/types"
	"math"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

var update = flag.Bool("update", false, "write docs/types.md")

const documentPath = "../../docs/types.md"

// document is docs/types.md while it is written.
type document struct{ strings.Builder }

func newDocument() *document {
	d := new(document)
	d.WriteString(`# Types that survive

A parameter or result of a task travels as JSON. taskgen accepts a type if every value of it comes back equal, or is
refused by Enqueue with an error; it refuses all others, at the parameter's position. Each row below was run: values of
the type, among them the zero value, went through a task as its parameter, by themselves, in a struct, a slice, an array
and a map, and behind a pointer; results go the same way. The last column is a remark, or what would become of a value
if the type were not refused.

The verdict says what holds for every value. "exact" is of the type itself. A type that encodes itself is trusted: what
its methods drop is lost, and the verdict names it. "Enqueue refuses" names values of an accepted type that would not come
back equal: they are an error, as are those of [the last table](#values-that-enqueue-refuses), and nothing is enqueued.
The verdicts, and what is on the wire, are the same on Go 1.26 and 1.27, whose encoding/json is another.

Equal means reflect.DeepEqual, but for times, which keep their instant and zone offset, and big numbers, which are
compared as numbers. A pointer to a slice, a map, a pointer or raw JSON is refused, since JSON has one null.

This file is written by ` + "`make types`" + `, and a test fails when it is stale.
`)
	return d
}

func (d *document) group(name string) {
	fmt.Fprintf(d, "\n## %s\n\n| category | Go type | verdict | |\n|---|---|---|---|\n", name)
}

func (d *document) row(t types.Type, c *category, v verdict, wrong string) {
	verdict, note := "exact", c.note
	if len(v.limits.Trusted) > 0 {
		verdict = "as exact as the methods of " + strings.Join(v.limits.Trusted, ", ")
	}
	if len(v.limits.Refused) > 0 {
		verdict += "; Enqueue refuses " + strings.Join(v.limits.Refused, "; ")
	}
	if len(v.problems) > 0 {
		p := v.problems[0]
		verdict = fmt.Sprintf("**refused**: %s%s. Instead: %s", path(p.Path), p.Reason, p.Fix)
		note = wrong
		if wrong == "" {
			note = "comes back, but means nothing there"
		}
	}
	name := types.TypeString(t, func(p *types.Package) string {
		if p.Name() == "typetable" {
			return ""
		}
		return p.Name()
	})
	fmt.Fprintf(d, "| %s | %s | %s | %s |\n", cell(c.what), code(name), cell(verdict), cell(note))
}

func path(p string) string {
	if p == "" {
		return ""
	}
	return "`" + p + "`: "
}

func cell(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(s), "|", `\|`)
	return strings.ReplaceAll(s, "typetable.", "")
}

func code(s string) string {
	s = strings.ReplaceAll(s, "interface{}", "any")
	if strings.Contains(s, "`") {
		return "`` " + cell(s) + " ``"
	}
	return "`" + cell(s) + "`"
}

// values lists the values of accepted types that Enqueue refuses.
func (d *document) values(t *testing.T, app *runtime.App) {
	loop := &Chain{}
	loop.Next = loop
	d.WriteString("\n## Values that Enqueue refuses\n\nNothing is enqueued then, and the error does not show the value.\n\n| value | error |\n|---|---|\n")
	for _, v := range []struct {
		what  string
		visit func(f *wire.Fields)
	}{
		{"a string that is not UTF-8", func(f *wire.Fields) { f.String("name", new("a\xff")) }},
		{"one deep inside", func(f *wire.Fields) { f.JSON("order", &Order{By: map[string]*Money{"": {Currency: "\xff"}}}) }},
		{"one as a key", func(f *wire.Fields) { f.JSON("counts", &map[string]int{"\xff": 1}) }},
		{"NaN", func(f *wire.Fields) { f.Float64("price", new(math.NaN())) }},
		{"an infinite float inside", func(f *wire.Fields) { f.JSON("prices", &[]float32{float32(math.Inf(1))}) }},
		{"a time whose offset has seconds", func(f *wire.Fields) { f.Time("at", new(at.In(time.FixedZone("", 1172)))) }},
		{"one inside", func(f *wire.Fields) { f.JSON("at", &[]time.Time{at.In(time.FixedZone("", 1172))}) }},
		{"a time after the year 9999", func(f *wire.Fields) { f.Time("at", new(time.Unix(1<<40, 0))) }},
		{"raw JSON that is none", func(f *wire.Fields) { f.JSON("raw", new(json.RawMessage(`{"a":`))) }},
		{"raw JSON with a key twice", func(f *wire.Fields) { f.JSON("raw", new(json.RawMessage(`{"a":1,"a":2}`))) }},
		{"half of a surrogate pair in raw JSON", func(f *wire.Fields) { f.JSON("raw", new(json.RawMessage(`"\ud83d"`))) }},
		{"a value that contains itself", func(f *wire.Fields) { f.JSON("chain", loop) }},
		{"a marshaler that panics", func(f *wire.Fields) { f.JSON("side", new(Side(7))) }},
		{"two keys of one text", func(f *wire.Fields) { f.JSON("by", &map[WriteTwice]int{{1}: 1, {2}: 2}) }},
	} {
		task := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "typetable.refused"}, nil)
		_, err := task.Call(v.visit, nil).Enqueue(t.Context(), app)
		if err == nil {
			t.Errorf("%s is enqueued", v.what)
			continue
		}
		fmt.Fprintf(d, "| %s | %s |\n", v.what, cell(rootCause(err)))
	}
}

// WriteTwice has one text for all its values.
type WriteTwice struct{ N int }

func (WriteTwice) MarshalText() ([]byte, error) { return []byte("a"), nil }

// verdictsOf is the document without what would become of refused values, which
// encoding/json of Go 1.27 says in other words.
func verdictsOf(doc string) string {
	return regexp.MustCompile(`(?m)^(.* \| \*\*refused\*\*.* \|) .* \|$`).ReplaceAllString(doc, "$1")
}

// compare fails if the document in the repository is another, or writes it.
func (d *document) compare(t *testing.T) {
	if t.Failed() {
		return
	}
	newer := reflect.TypeFor[json.RawMessage]().PkgPath() != "encoding/json"
	if *update && newer {
		t.Fatal("docs/types.md is written with Go 1.26")
	}
	if *update {
		if err := os.WriteFile(documentPath, []byte(d.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	want, got := string(old), d.String()
	if newer {
		want, got = verdictsOf(want), verdictsOf(got)
	}
	if got != want {
		t.Error("docs/types.md is stale: run make types")
	}
}
