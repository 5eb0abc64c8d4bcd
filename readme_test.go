package taskctx_test

import (
	"flag"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the examples' code into README.md")

// codeBlock is a block of Go code in a Markdown file.
var codeBlock = regexp.MustCompile("(?s)```go\n(.*?)```\n")

// TestReadme_ShowsTheExamples: the code in the README is code that runs.
func TestReadme_ShowsTheExamples(t *testing.T) {
	readme := read(t, "README.md")
	tasks := read(t, "examples/index/tasks.go")
	want := []string{
		read(t, "examples/hello/main.go"),
		between(t, tasks, "// IndexContext is", "// IndexFile is"),
	}
	i := 0
	fresh := codeBlock.ReplaceAllStringFunc(readme, func(block string) string {
		if i++; i > len(want) {
			return block
		}
		return "```go\n" + strings.TrimSpace(want[i-1]) + "\n```\n"
	})
	if i < len(want) {
		t.Fatalf("README.md has %d blocks of Go code, not %d", i, len(want))
	}
	if fresh == readme {
		return
	}
	if !*update {
		t.Fatal("the code in README.md is not that of the examples: run go test -run Readme -update .")
	}
	if err := os.WriteFile("README.md", []byte(fresh), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestFlow_ShowsTheRecipes: the code of the recipes in docs/flow.md is code that runs.
func TestFlow_ShowsTheRecipes(t *testing.T) {
	_, recipes, ok := strings.Cut(read(t, "docs/flow.md"), "## Recipes")
	code := read(t, "examples/flow/tasks.go")
	blocks := codeBlock.FindAllStringSubmatch(recipes, -1)
	if !ok || len(blocks) < 4 {
		t.Fatalf("docs/flow.md has %d recipes in code", len(blocks))
	}
	for _, b := range blocks {
		for part := range strings.SplitSeq(strings.TrimSpace(b[1]), "\n\n") {
			if !strings.Contains(code, part) {
				t.Errorf("examples/flow/tasks.go has not the code of docs/flow.md:\n%s", part)
			}
		}
	}
}

// between returns the part of the text from one mark up to another.
func between(t *testing.T, text, from, to string) string {
	t.Helper()
	i, j := strings.Index(text, from), strings.Index(text, to)
	if i < 0 || j < i {
		t.Fatalf("there is no part from %q to %q", from, to)
	}
	return text[i:j]
}

// TestReadme_TestsRunInContinuousIntegration: what the README tells people
// to run is what is known to work.
func TestReadme_TestsRunInContinuousIntegration(t *testing.T) {
	_, after, ok := strings.Cut(read(t, "README.md"), "The tests, as CI runs them:\n\n```sh\n")
	command, _, _ := strings.Cut(after, "\n```")
	if !ok || command == "" {
		t.Fatal("README.md does not say how to run the tests")
	}
	if !strings.Contains(read(t, ".ci/run"), "\n"+command+"\n") {
		t.Errorf(".ci/run does not run %q, as README.md says", command)
	}
}

var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`") // where Go's generics look like links
)

// TestDocs_Links: every link from a document to a file of this repository leads
// somewhere.
func TestDocs_Links(t *testing.T) {
	documents := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		documents++
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, path), ""), -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" || u.Path == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), u.Path)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents == 0 {
		t.Error("there are no documents: this test looks in the wrong place")
	}
}

// TestDocs_EveryDocumentIsListed: docs/README.md leads to all of docs.
func TestDocs_EveryDocumentIsListed(t *testing.T) {
	index := read(t, "docs/README.md")
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d documents in docs, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md does not link to %s", name)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
