package gen_test

import (
	"flag"
	"fmt"
	"go/format"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var nested = flag.Int("nested", 15, "the packages with nested struct types that are formatted")

// Generated files are as gofmt writes them, also with unnamed struct types within
// others, however deep, of which gofmt itself does not get everything right at once.
func TestGenerate_IsAsGofmtWrites(t *testing.T) {
	l := newLab(t)
	for seed := range uint64(*nested) {
		n := nester{rand.New(rand.NewPCG(seed, 27))}
		src := n.source()
		out := l.try(t, src)
		require.NotEmpty(t, out, "refused: %s", src)
		formatted, err := format.Source([]byte(out))
		require.NoError(t, err)
		require.Equal(t, string(formatted), out, "seed %d", seed)
	}
}

// nester writes packages whose providers and contexts have nested struct types.
type nester struct{ *rand.Rand }

func (n nester) source() string {
	var b, fields strings.Builder
	b.WriteString("package p\n\nimport (\n\t\"sync/atomic\"\n\n\t\"github.com/taskctx/taskctx/runtime\"\n)\n\nvar _ atomic.Int64\n")
	for i := range 1 + n.IntN(4) {
		made := fmt.Sprintf("struct{ Q%d %s }", i, n.typ(1))
		fmt.Fprintf(&fields, "\tV%d %s\n", i, made)
		var params []string
		for j := range n.IntN(4) {
			params = append(params, fmt.Sprintf("a%d struct{ Z%d_%d %s }", j, i, j, n.typ(1)))
		}
		fmt.Fprintf(&b, "\n//task:provide %s\nfunc open%d(%s) (%s, error) { panic(0) }\n",
			[]string{"process", "worker", "task"}[n.IntN(3)], i, strings.Join(params, ", "), made)
	}
	fmt.Fprintf(&b, "\ntype C struct {\n\t*runtime.Context\n%s}\n\n//task:context\nfunc Order(ctx *C) error { panic(0) }\n", fields.String())
	return b.String()
}

// typ returns a type at a depth: the deeper, the plainer.
func (n nester) typ(depth int) string {
	plain := []string{"int", "string", "[]byte", "bool", "map[string]int", "*atomic.Pointer[int]", "func(int, string) error", "struct{}"}
	if depth > 4 || n.IntN(3) == 0 {
		return plain[n.IntN(len(plain))]
	}
	wrap := []string{"%s", "*%s", "[]%s", "map[string]%s", "chan %s", "[3]%s", "func(%s) int"}
	var b strings.Builder
	b.WriteString("struct{ ")
	for i := range n.IntN(5) {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%c%s %s", 'A'+i, strings.Repeat("x", []int{0, 0, 1, 3, 8, 20, 45}[n.IntN(7)]), n.typ(depth+1))
		if n.IntN(3) == 0 {
			fmt.Fprintf(&b, " `json:\"a%d\"`", i)
		}
	}
	b.WriteString(" }")
	return fmt.Sprintf(wrap[n.IntN(len(wrap))], b.String())
}
