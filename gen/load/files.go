package load

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskctx/taskctx/gen/diag"
)

// snapshot is the Go files of a directory, read once.
type snapshot struct {
	dir      string
	files    []file
	output   []byte // the generated file, if it is there
	foreign  []byte // a file in its place that is not ours
	mentions bool   // a file may hold a directive
	sum      [sha256.Size]byte
	err      error
}

type file struct {
	name string
	data []byte
	test bool
}

// snapshot reads the Go files of a directory.
func (l *Loader) snapshot(dir string) *snapshot {
	l.mu.Lock()
	s := l.snaps[dir]
	l.mu.Unlock()
	if s != nil {
		return s
	}
	s = &snapshot{dir: dir}
	s.err = s.read(l.cfg.Output, l.cfg.Header)
	l.mu.Lock()
	l.snaps[dir] = s
	l.mu.Unlock()
	return s
}

func (s *snapshot) read(output, header string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	h := sha256.New()
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || e.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		if os.IsNotExist(err) {
			continue // a broken link, as editors leave them
		}
		if err != nil {
			return err
		}
		if name == output {
			if Ours(data, header) {
				s.output = data
				continue
			}
			s.foreign = data
		}
		f := file{name: name, data: data, test: strings.HasSuffix(name, "_test.go")}
		if mentions(data) {
			s.mentions = true
		} else if f.test {
			continue
		}
		s.files = append(s.files, f)
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
	}
	h.Sum(s.sum[:0])
	return nil
}

// Ours reports whether a file's first line is the header.
func Ours(data []byte, header string) bool {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))) == header
}

// mentions reports whether a file may hold a directive or what looks like one.
func mentions(data []byte) bool {
	for _, word := range []string{"task", "Task", "TASK", "taks", "tsak", "tsk"} {
		for rest := data; ; {
			i := bytes.Index(rest, []byte(word))
			if i < 0 {
				break
			}
			rest = rest[i+len(word):]
			if next := bytes.TrimLeft(rest[:min(len(rest), 8)], "s \t"); len(next) > 0 && next[0] == ':' {
				return true
			}
		}
	}
	return false
}

// parse parses the files of a package to generate for that belong to the build.
func (l *Loader) parse(p *Package) {
	if p.Files == nil {
		l.parseFiles(p, parser.ParseComments, func(n int, do func(int)) {
			for i := range n {
				do(i) // in order: so are their positions
			}
		})
	}
}

// parseImport parses the files of a package that others import: side by side,
// for nobody asks which of its positions comes first, and only with comments if
// it may have directives that matter.
func (l *Loader) parseImport(p *Package) {
	if p.Files != nil {
		return
	}
	var mode parser.Mode
	if p.Module.Main {
		mode = parser.ParseComments
	}
	l.parseFiles(p, mode, parallel)
}

// parsed is what became of a file: nothing, if it is not part of the build.
type parsed struct {
	tree *ast.File
	err  error
}

func (l *Loader) parseFiles(p *Package, mode parser.Mode, each func(n int, do func(int))) {
	p.Output, p.Foreign = p.snap.output, p.snap.foreign
	p.Elsewhere = p.Output != nil && !l.inBuild(p.Dir, file{name: l.cfg.Output, data: p.Output})
	p.Files = []*ast.File{}
	all := make([]parsed, len(p.snap.files))
	each(len(all), func(i int) {
		f := p.snap.files[i]
		if p.Foreign != nil && f.name == l.cfg.Output || !l.inBuild(p.Dir, f) {
			return
		}
		tree, err := parser.ParseFile(l.fset, filepath.Join(p.Dir, f.name), f.data, mode|parser.SkipObjectResolution)
		all[i] = parsed{tree, err}
	})
	for i, f := range p.snap.files {
		tree, err := all[i].tree, all[i].err
		if f.test {
			if tree != nil {
				p.Tests = append(p.Tests, tree)
			}
			continue
		}
		p.syntax(filepath.Join(p.Dir, f.name), err)
		if tree == nil || tree.Name == nil || usesCgo(tree) && !l.ctxt.CgoEnabled {
			continue
		}
		p.addFile(tree)
	}
}

// addFile adds a file, if its package clause agrees with the others.
func (p *Package) addFile(tree *ast.File) {
	if p.Name == "" {
		p.Name = tree.Name.Name
	}
	if tree.Name.Name != p.Name {
		first := p.Files[0]
		p.Problems = append(p.Problems, diag.Diagnostic{
			Pos: p.Fset.Position(tree.Name.Pos()), End: p.Fset.Position(tree.Name.End()), Code: "two-packages",
			Message: fmt.Sprintf("package %s in a directory of package %s", tree.Name.Name, p.Name),
			Related: []diag.Related{{Pos: p.Fset.Position(first.Name.Pos()), Message: "package " + p.Name}},
		})
		return
	}
	p.Files = append(p.Files, tree)
}

// syntax reports the errors of the parser.
func (p *Package) syntax(name string, err error) {
	if err == nil {
		return
	}
	list, ok := err.(scanner.ErrorList)
	if !ok {
		list = scanner.ErrorList{{Pos: token.Position{Filename: name}, Msg: err.Error()}}
	}
	for i, e := range list {
		if i == 3 {
			break // what follows is most often an echo
		}
		p.Problems = append(p.Problems, diag.Diagnostic{Pos: e.Pos, Code: "syntax", Message: e.Msg})
	}
}

// inBuild reports whether the file belongs to the build.
func (l *Loader) inBuild(dir string, f file) bool {
	ctxt := l.ctxt // a copy, for the file's own opener
	ctxt.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.data)), nil }
	ok, err := ctxt.MatchFile(dir, f.name)
	return ok || err != nil // what cannot be read is for the parser to report
}

func usesCgo(f *ast.File) bool {
	for _, s := range f.Imports {
		if s.Path.Value == `"C"` {
			return true
		}
	}
	return false
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && !st.IsDir()
}
