package twogo

import (
	"fmt"
	"maps"
	"math/rand" //nolint:depguard // a seed gives the types that it always gave
	"slices"
	"strings"
)

// source writes the tasks of a program: those of random types, and of types that
// it is given.
type source struct {
	imports map[string]string // paths, with the packages' names
	types   strings.Builder
	tasks   []task
}

// task is a task that takes a value of a type and returns it.
type task struct {
	typ   string
	exact bool // its values come back equal, or are refused
}

func newSource() *source { return &source{imports: map[string]string{}} }

var leaves = []string{
	"bool", "string", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64",
	"float32", "float64", "[]byte", "time.Time", "time.Duration", "json.RawMessage", "*big.Int", "*big.Rat",
	"netip.Addr", "netip.AddrPort", "uuid.UUID", "uuid.NullUUID", "slog.Level", "url.Values", "sql.NullString",
}

var keys = []string{"string", "int8", "uint64", "time.Month", "netip.Addr", "uuid.UUID", "Plan"}

var tags = []string{
	"", "", "", "", "`json:\"x\"`", "`json:\"y,omitempty\"`", "`json:\",omitzero\"`", "`json:\",omitempty\"`", "`json:\",string\"`",
	"`json:\"a.b<&>\"`", "`json:\"größe (cm)\"`", "`json:\"-,\"`", "`json:\",inline\"`", "`json:\"B\"`", "`json:\"b\"`",
	"`json:\"it's\"`", "`json:\",format:x\"`", "`xml:\"q\"`",
}

// random adds tasks of n random types.
func (s *source) random(seed int64, n int) {
	r := rand.New(rand.NewSource(seed))
	s.types.WriteString("type Plan string\n")
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, "type R%d struct {\n", i)
		for f := range 1 + r.Intn(5) {
			fmt.Fprintf(&b, "\t%c %s %s\n", 'A'+f, s.typ(r, i, 3), tags[r.Intn(len(tags))])
		}
		if i > 0 && r.Intn(4) == 0 {
			fmt.Fprintf(&b, "\t%s\n", []string{"R%d", "*R%d"}[r.Intn(2)])
		}
		b.WriteString("}\n")
		text := b.String()
		if strings.Contains(text, "R%d") {
			text = strings.ReplaceAll(text, "R%d", fmt.Sprintf("R%d", r.Intn(i)))
		}
		s.types.WriteString(text)
		typ := fmt.Sprintf("R%d", i)
		if r.Intn(3) == 0 {
			typ = s.typ(r, i+1, 3)
		}
		s.tasks = append(s.tasks, task{typ, true})
	}
}

// typ is a random type of those before the i-th.
func (s *source) typ(r *rand.Rand, i, depth int) string {
	form := 0
	if depth > 0 {
		form = r.Intn(9)
	}
	switch form {
	case 1:
		return "[]" + s.typ(r, i, depth-1)
	case 2:
		return "*" + s.typ(r, i, depth-1)
	case 3:
		return "[2]" + s.typ(r, i, depth-1)
	case 4:
		return "map[" + keys[r.Intn(len(keys))] + "]" + s.typ(r, i, depth-1)
	case 5:
		return "struct{ A " + s.typ(r, i, depth-1) + "; B " + s.typ(r, i, depth-1) + " `json:\"b,omitzero\"` }"
	case 6:
		if i > 0 {
			return fmt.Sprint("R", r.Intn(i))
		}
	}
	return leaves[r.Intn(len(leaves))]
}

// file writes the tasks but for those that were refused.
func (s *source) file(refused map[int]bool) string {
	var b, table strings.Builder
	b.WriteString("package main\n\nimport (\n\t\"context\"\n")
	body := s.types.String()
	for i, t := range s.tasks {
		if !refused[i] {
			body += fmt.Sprintf("//task:context\nfunc T%d(ctx context.Context, v %s) (%[2]s, error) { return v, nil }\n", i, t.typ)
			fmt.Fprintf(&table, "\tof(%t, T%dCall),\n", t.exact, i)
		}
	}
	for _, path := range []string{
		"database/sql", "encoding/json", "log/slog", "math/big", "net/netip", "net/url", "time", "github.com/google/uuid",
	} {
		s.imports[path] = path[strings.LastIndexByte(path, '/')+1:]
	}
	for _, path := range slices.Sorted(maps.Keys(s.imports)) {
		if strings.Contains(body, s.imports[path]+".") {
			fmt.Fprintf(&b, "\t%s %q\n", s.imports[path], path)
		}
	}
	return b.String() + ")\n\n" + body + "\nvar tasks = []sender{\n" + table.String() + "}\n"
}
