package load

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/gen/buildtag"
	"github.com/taskctx/taskctx/gen/diag"
)

// snapshot is the Go files of a directory, read once.
type snapshot struct {
	dir      string
	files    []file
	output   []byte            // the generated file, if it is there
	foreign  []byte            // a file in its place that is not ours
	mentions bool              // a file may hold a directive
	sum      [sha256.Size]byte // of the files that others import
	own      [sha256.Size]byte // of all files
	err      error
}

type file struct {
	name     string
	data     []byte
	test     bool
	mentions bool
}

// empty reports whether the directory has nothing for others to import.
func (s *snapshot) empty() bool {
	return !slices.ContainsFunc(s.files, func(f file) bool { return !f.test })
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
	sum, own := sha256.New(), sha256.New()
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || e.IsDir() {
			continue
		}
		data, err := readRegular(filepath.Join(s.dir, name), e.Type())
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		if name == output {
			if Ours(data, header) {
				s.output = data
				continue
			}
			s.foreign = data
		}
		f := file{name: name, data: data, test: strings.HasSuffix(name, "_test.go"), mentions: mentions(data)}
		s.mentions = s.mentions || f.mentions
		s.files = append(s.files, f)
		to := io.Writer(own)
		if !f.test || f.mentions {
			to = io.MultiWriter(sum, own)
		}
		fmt.Fprintf(to, "%s %d\n", name, len(data))
		_, _ = to.Write(data) // a hash never fails
	}
	sum.Sum(s.sum[:0])
	own.Sum(s.own[:0])
	return nil
}

// readRegular reads a file of this type, or the target of a link. It returns
// nil for a directory, which is no source file by any name, and for a broken
// link, as editors leave them. It does not read other types, which might never
// end.
func readRegular(name string, typ fs.FileMode) ([]byte, error) {
	if typ&fs.ModeSymlink != 0 {
		st, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && st.IsDir() {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		typ = st.Mode().Type()
	}
	if !typ.IsRegular() {
		return nil, fmt.Errorf("%s is %s, not a source file: rename it, or take it out of the package", name, kindOf(typ))
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // gone since the directory was read
	}
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

func kindOf(typ fs.FileMode) string {
	switch {
	case typ&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case typ&fs.ModeSocket != 0:
		return "a socket"
	case typ&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// Ours reports whether a file's first line is the header.
func Ours(data []byte, header string) bool {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return string(bytes.TrimRight(line, "\r")) == header
}

// parse parses the files of a package to generate for: those of the build, and
// the others for their names.
func (l *Loader) parse(p *Package) {
	if p.Files == nil {
		l.parseFiles(p, parser.ParseComments, func(n int, do func(int)) {
			for i := range n {
				do(i) // in order: so are their positions
			}
		})
		l.parseOthers(p)
	}
}

// parseImport parses the files of a package that others import. It parses them
// side by side, since the order of their positions does not matter, and with
// comments only if they may hold relevant directives.
func (l *Loader) parseImport(p *Package) {
	if p.Files != nil {
		return
	}
	var mode parser.Mode
	if p.Module.Main {
		mode = parser.ParseComments
	}
	l.parseFiles(p, mode, parallel)
	if p.Module.Main {
		l.parseOthers(p)
	}
}

// parsed is the result of parsing a file: nothing, if it is not part of the
// build.
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
		if p.Foreign != nil && f.name == l.cfg.Output || f.test && !f.mentions || !l.inBuild(p.Dir, f) {
			return
		}
		tree, err := parser.ParseFile(l.fset, filepath.Join(p.Dir, f.name), f.data, mode|parser.SkipObjectResolution)
		all[i] = parsed{tree, err}
	})
	for i, f := range p.snap.files {
		tree, err := all[i].tree, all[i].err
		if ignored(tree) {
			continue
		}
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

// ignored reports whether a file is for documentation tools, by the name of its
// package: the go command leaves it out.
func ignored(tree *ast.File) bool {
	return tree != nil && tree.Name != nil && tree.Name.Name == "documentation"
}

// Other is a file in a package's directory outside its build: for another
// system or tag, or a test.
type Other struct {
	Tree *ast.File
	Test bool
	// Constraint is the file's build constraint.
	Constraint constraint.Expr
}

// parseOthers parses the files outside the build. Mistakes in them are
// reported where they are built.
func (l *Loader) parseOthers(p *Package) {
	have := map[string]bool{}
	for _, f := range p.Files {
		have[p.FileName(f)] = true
	}
	all := make([]*Other, len(p.snap.files))
	parallel(len(all), func(i int) {
		f := p.snap.files[i]
		name := filepath.Join(p.Dir, f.name)
		if have[name] || f.name == l.cfg.Output {
			return
		}
		mode := parser.SkipObjectResolution
		if f.mentions {
			mode |= parser.ParseComments
		}
		tree, _ := parser.ParseFile(l.fset, name, f.data, mode)
		if tree == nil || tree.Name == nil {
			return
		}
		if of := tree.Name.Name; of == p.Name || f.test && of == p.Name+"_test" {
			all[i] = &Other{Tree: tree, Test: f.test, Constraint: fileConstraint(name, f.data, tree)}
		}
	})
	for _, o := range all {
		if o != nil {
			p.Others = append(p.Others, o)
		}
	}
}

// FileName returns the name of the file that was parsed, whatever its line
// directives say.
func (p *Package) FileName(f *ast.File) string {
	return p.Fset.PositionFor(f.FileStart, false).Filename
}

// Constraint returns the build constraint of one of the package's files. With
// cgo set, a file that uses cgo has that of cgo too.
func (p *Package) Constraint(f *ast.File, cgo bool) constraint.Expr {
	name := p.FileName(f)
	for _, s := range p.snap.files {
		if filepath.Join(p.Dir, s.name) != name {
			continue
		}
		if cgo {
			return fileConstraint(name, s.data, f)
		}
		return buildtag.Of(name, s.data)
	}
	return nil
}

func fileConstraint(name string, data []byte, tree *ast.File) constraint.Expr {
	c := buildtag.Of(name, data)
	if usesCgo(tree) {
		c = buildtag.And(c, buildtag.Tag("cgo"))
	}
	return c
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
			break // later errors mostly follow from this one
		}
		p.Problems = append(p.Problems, diag.Diagnostic{Pos: e.Pos, Code: "syntax", Message: e.Msg})
	}
}

// inBuild reports whether the file belongs to the build.
func (l *Loader) inBuild(dir string, f file) bool {
	ctxt := l.ctxt // a copy, for the file's own opener
	ctxt.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.data)), nil }
	if buildtag.OfToolchain(buildtag.Of(f.name, f.data)) {
		ctxt.ToolTags, ctxt.ReleaseTags = l.tools().tags, l.tools().releases
	}
	ok, err := ctxt.MatchFile(dir, f.name)
	return ok || err != nil // the parser reports an unreadable file
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
