package gen

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// However a file is cut up to be formatted, what comes out is the same.
func TestFinish_InParts(t *testing.T) {
	names, err := filepath.Glob("../testdata/golden/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if !strings.HasPrefix(f.Name, "want/") || filepath.Base(f.Name) != Output {
				continue
			}
			files++
			tree, err := parser.ParseFile(token.NewFileSet(), Output, f.Data, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{1, 300, 1 << 20} {
				out, err := finishBy(size, f.Data, declarationsOf(tree))
				if err != nil {
					t.Errorf("%s, in parts of %d: %v", filepath.Base(name), size, err)
				} else if string(out) != string(f.Data) {
					t.Errorf("%s, in parts of %d:\n%s", filepath.Base(name), size, out)
				}
			}
		}
	}
	if files < 50 {
		t.Errorf("only %d files", files)
	}
}
