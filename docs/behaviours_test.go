package docs_test

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the documents that are made of code")

// behaviour is one line of behaviours.txt.
type behaviour struct {
	number int
	text   string
	proofs []proof
}

// proof is a test that shows a behaviour.
type proof struct{ name, file string }

// TestBehaviours_AreProven: each behaviour has a test that says so, and
// behaviours.md says which.
func TestBehaviours_AreProven(t *testing.T) {
	sections := readBehaviours(t)
	proofs := findProofs(t)
	known := make(map[int]bool)
	for _, s := range sections {
		for _, b := range s.behaviours {
			known[b.number] = true
			b.proofs = proofs[b.number]
			slices.SortFunc(b.proofs, func(x, y proof) int {
				return cmp.Or(strings.Compare(x.file, y.file), strings.Compare(x.name, y.name))
			})
			if len(b.proofs) == 0 {
				t.Errorf("no test proves behaviour %d: %s", b.number, b.text)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(proofs)) {
		if !known[n] {
			t.Errorf("%s in %s proves behaviour %d, which behaviours.txt does not have", proofs[n][0].name, proofs[n][0].file, n)
		}
	}
	compare(t, "behaviours.md", render(sections))
}

type section struct {
	title      string
	behaviours []*behaviour
}

var numbered = regexp.MustCompile(`^(\d+)\. (.+)$`)

func readBehaviours(t *testing.T) []*section {
	t.Helper()
	f, err := os.Open("behaviours.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sections []*section
	last := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		if title, ok := strings.CutPrefix(s.Text(), "## "); ok {
			sections = append(sections, &section{title: title})
			continue
		}
		m := numbered.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n <= last { // a number that is left out is of what is not built yet
			t.Fatalf("behaviours.txt: %q does not come after number %d", s.Text(), last)
		}
		last = n
		s := sections[len(sections)-1]
		s.behaviours = append(s.behaviours, &behaviour{number: n, text: m[2]})
	}
	if last == 0 {
		t.Fatal("behaviours.txt has no behaviours")
	}
	return sections
}

// tag is a line of a comment that says what a test proves: the numbers after
// FEATURES, before other lists.
var tag = regexp.MustCompile(`(?m)^\W*Proves: (?:.*, )?FEATURES (\d[\d, -]*)`)

// findProofs reads the tags above the tests of the whole module, and in its
// scripts and goldens.
func findProofs(t *testing.T) map[int][]proof {
	t.Helper()
	all := make(map[int][]proof)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != ".." && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		ext := filepath.Ext(path)
		if ext != ".go" && ext != ".txtar" && ext != ".txt" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "Proves: FEATURES") {
			return err
		}
		note := func(name, text string) {
			for _, n := range numbers(t, path, text) {
				all[n] = append(all[n], proof{name, filepath.ToSlash(path)})
			}
		}
		if ext != ".go" {
			note(strings.TrimSuffix(filepath.Base(path), ext), string(text))
			return nil
		}
		return goProofs(t, path, text, note)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// goProofs notes the tags of one Go file. Each must be in a function's comment.
func goProofs(t *testing.T, path string, text []byte, note func(name, text string)) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	above := make(map[*ast.CommentGroup]string)
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Doc != nil {
			above[fn.Doc] = fn.Name.Name
		}
	}
	for _, c := range f.Comments {
		if !tag.MatchString(c.Text()) {
			continue
		}
		name, ok := above[c]
		if !ok {
			t.Errorf("%s: the tag is not directly above a test", fset.Position(c.Pos()))
			continue
		}
		note(name, c.Text())
	}
	return nil
}

// numbers returns what the tags in a text list: "4", "4, 5", "4-6".
func numbers(t *testing.T, path, text string) []int {
	t.Helper()
	var all []int
	for _, m := range tag.FindAllStringSubmatch(text, -1) {
		for part := range strings.SplitSeq(strings.TrimRight(m[1], ", "), ",") {
			from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
			first, err := strconv.Atoi(strings.TrimSpace(from))
			last := first
			if err == nil && isRange {
				last, err = strconv.Atoi(strings.TrimSpace(to))
			}
			if err != nil || last < first {
				t.Errorf("%s: %q is not a list of numbers", path, m[1])
				continue
			}
			for n := first; n <= last; n++ {
				all = append(all, n)
			}
		}
	}
	return all
}

func render(sections []*section) string {
	var b strings.Builder
	fmt.Fprint(&b, "# Behaviours, and the tests that show them\n\n"+
		"This page is made of [behaviours.txt](behaviours.txt) and the tests: `go test ./docs -update`.\n")
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n| | behaviour | shown by |\n|---|---|---|\n", s.title)
		for _, x := range s.behaviours {
			fmt.Fprintf(&b, "| %d | %s | %s |\n", x.number, strings.ReplaceAll(x.text, "|", `\|`), shownBy(x))
		}
	}
	return b.String()
}

func shownBy(b *behaviour) string {
	var links []string
	for _, p := range b.proofs {
		links = append(links, fmt.Sprintf("[%s](%s)", p.name, p.file))
	}
	return strings.Join(links, ", ")
}

// compare checks a document that is made of code, or writes it with -update.
func compare(t *testing.T, name, want string) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err == nil && string(got) == want {
		return
	}
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is not up to date: run go test ./docs -update", name)
}
