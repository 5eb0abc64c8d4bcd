package gen_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/gen"
)

// BenchmarkGenerate generates for a package of 100 tasks: with nothing changed
// since the last run, after a comment was added, and with nothing remembered.
// "make speed" measures the command beside other tools.
func BenchmarkGenerate(b *testing.B) {
	root := b.TempDir()
	writeModule(b, root, "example.com/bench")
	var src strings.Builder
	src.WriteString("package bench\n\nimport \"context\"\n\ntype Order struct{ Items []string; Cents int }\n")
	for i := range 100 {
		fmt.Fprintf(&src, "\n//task:context queue=q%d\nfunc Task%d(ctx context.Context, id string, o Order) (int, error) "+
			"{ return o.Cents, nil }\n", i%7, i)
	}
	file := filepath.Join(root, "tasks.go")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	write(src.String())
	run := func(b *testing.B, cache string) {
		res, err := gen.Run(context.Background(), gen.Config{Dir: root, CacheDir: cache})
		if err != nil {
			b.Fatal(err)
		}
		if len(res.Diagnostics) > 0 {
			b.Fatal(res.Diagnostics)
		}
	}
	cache := b.TempDir()
	run(b, cache)
	b.Run("unchanged", func(b *testing.B) {
		for range b.N {
			run(b, cache)
		}
	})
	b.Run("edit", func(b *testing.B) {
		for i := range b.N {
			write(src.String() + fmt.Sprintf("// edit %d\n", i))
			run(b, cache)
		}
	})
	b.Run("no cache", func(b *testing.B) {
		for range b.N {
			run(b, "")
		}
	})
}
