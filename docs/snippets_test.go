package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// codeDirs have the code that pages show, by the pages' names.
var codeDirs = map[string]string{
	"coming-from-*.md":     "../examples/comingfrom",
	"durable-functions.md": "../examples/durable",
}

// shown is a mark in a page, that names a file and declarations in it, and the
// block of code below, which is made of them.
var shown = regexp.MustCompile("(?s)(<!-- code: (\\S+\\.go) ([^>]+?) -->\n)```go\n(.*?)```\n")

// TestPages_ShowCodeThatCompiles: our side of the pages is code of a package that
// is tested.
func TestPages_ShowCodeThatCompiles(t *testing.T) {
	for pattern, dir := range codeDirs {
		t.Run(pattern, func(t *testing.T) { showCode(t, pattern, dir) })
	}
}

// showCode compares the pages that a pattern matches with the code of a directory.
func showCode(t *testing.T, pattern, codeDir string) {
	pages, err := filepath.Glob(pattern)
	if err != nil || len(pages) == 0 || strings.Contains(pattern, "*") && len(pages) != 6 {
		t.Fatalf("pages: %v, %v", pages, err)
	}
	used := make(map[string]bool)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		fresh := shown.ReplaceAllStringFunc(string(text), func(block string) string {
			n++
			m := shown.FindStringSubmatch(block)
			used[m[2]] = true
			return m[1] + "```go\n" + declarations(t, page, filepath.Join(codeDir, m[2]), strings.Fields(m[3])) + "```\n"
		})
		if blocks := strings.Count(string(text), "<!-- code:"); n != blocks || n == 0 {
			t.Errorf("%s: %d of %d marks are followed by a block of Go code", page, n, blocks)
		}
		compare(t, page, fresh)
	}
	files, err := filepath.Glob(filepath.Join(codeDir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		switch name := filepath.Base(f); {
		case name == "doc.go", name == "agency.go", strings.HasSuffix(name, "_gen.go"), strings.HasSuffix(name, "_test.go"), used[name]:
		default:
			t.Errorf("no page shows %s", name)
		}
	}
}

// declarations returns the source of declarations with their comments, in the
// order they are asked for.
func declarations(t *testing.T, page, path string, names []string) string {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, d := range f.Decls {
		from := d.Pos()
		var name string
		var doc *ast.CommentGroup
		switch d := d.(type) {
		case *ast.FuncDecl:
			name, doc = d.Name.Name, d.Doc
			if d.Recv != nil {
				name = recvName(d.Recv.List[0].Type) + "." + name
			}
		case *ast.GenDecl:
			name, doc = specName(d), d.Doc
		}
		if doc != nil {
			from = doc.Pos()
		}
		found[name] = string(src[fset.Position(from).Offset:fset.Position(d.End()).Offset])
	}
	var parts []string
	for _, name := range names {
		text, ok := found[name]
		if !ok {
			t.Errorf("%s: %s declares no %s", page, path, name)
		}
		parts = append(parts, text)
	}
	return fmt.Sprintln(strings.Join(parts, "\n\n"))
}

func recvName(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func specName(d *ast.GenDecl) string {
	switch s := d.Specs[0].(type) {
	case *ast.TypeSpec:
		return s.Name.Name
	case *ast.ValueSpec:
		return s.Names[0].Name
	}
	return ""
}
