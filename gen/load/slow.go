package load

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"

	"github.com/taskctx/taskctx/gen/diag"
)

// slow loads the directories with go/packages, all dependencies from their
// sources. It handles the cases that the fast way does not know: flags that
// only the go command understands, and export data of another format.
func (l *Loader) slow(ctx context.Context, snaps []*snapshot) ([]*Package, error) {
	cfg := &packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
			packages.NeedDeps | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedModule,
		Context: ctx, Dir: l.dir, Env: l.cfg.Env, Fset: l.fset, Overlay: map[string][]byte{},
		ParseFile: withoutBodies,
	}
	if l.cfg.Tags != nil {
		cfg.BuildFlags = []string{"-tags=" + strings.Join(l.cfg.Tags, ",")}
	}
	patterns := make([]string, len(snaps))
	for i, s := range snaps {
		patterns[i] = s.dir
	}
	if err := l.overlay(cfg.Overlay); err != nil {
		return nil, err
	}
	roots, err := packages.Load(cfg, patterns...)
	if err != nil {
		return nil, err
	}
	byDir := map[string]*packages.Package{}
	packages.Visit(roots, nil, func(p *packages.Package) {
		if p.Module != nil && len(p.GoFiles) > 0 {
			byDir[filepath.Dir(p.GoFiles[0])] = p
		}
	})
	l.pkgs = map[string]*Package{}
	var list []*Package
	for dir, p := range byDir {
		if m := l.mods.byDir(p.Module.Dir); m != nil {
			l.pkgs[p.PkgPath] = l.convert(m, dir, p)
		}
	}
	for _, s := range snaps {
		_, path := l.mods.ofDir(s.dir)
		p := l.pkgs[path]
		if p == nil {
			return nil, fmt.Errorf("go/packages finds no package in %s", s.dir)
		}
		list = append(list, p)
	}
	return list, nil
}

// withoutBodies parses a file and drops the bodies of its functions, which
// take most of the time to check.
func withoutBodies(fset *token.FileSet, name string, src []byte) (*ast.File, error) {
	f, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if f == nil {
		return nil, err
	}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok {
			fn.Body = nil
		}
	}
	return f, err
}

// overlay hides the generated files of the main modules, whose content may be
// anything.
func (l *Loader) overlay(files map[string][]byte) error {
	for _, m := range l.mods.source {
		if !m.Main {
			continue
		}
		dirs, err := l.walk(m.Dir)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			s := l.snapshot(dir)
			if s.output == nil || s.empty() {
				continue
			}
			p := &Package{Path: m.pathOf(dir), Dir: dir, Fset: l.fset, snap: s}
			l.parse(p)
			files[filepath.Join(dir, l.cfg.Output)] = []byte("package " + p.Name + "\n")
		}
	}
	return nil
}

// convert makes a Package of a package from go/packages.
func (l *Loader) convert(m *Module, dir string, p *packages.Package) *Package {
	q := &Package{
		Path: p.PkgPath, Name: p.Name, Dir: dir, Module: m, Fset: l.fset, Types: p.Types, Errors: p.TypeErrors,
		snap: l.snapshot(dir), state: checked, imports: map[string]bool{},
	}
	q.Output, q.Foreign = q.snap.output, q.snap.foreign
	q.Elsewhere = q.Output != nil && !l.inBuild(dir, file{name: l.cfg.Output, data: q.Output})
	q.Files = []*ast.File{}
	for _, f := range p.Syntax {
		if filepath.Base(q.FileName(f)) != l.cfg.Output {
			q.Files = append(q.Files, f)
		}
	}
	if m.Main {
		l.parseOthers(q)
	}
	for _, e := range p.Errors {
		if e.Kind == packages.ParseError {
			q.Problems = append(q.Problems, diag.Diagnostic{Pos: position(e.Pos), Code: "syntax", Message: e.Msg})
		}
	}
	return q
}

// position reads a position as go/packages writes it.
func position(s string) token.Position {
	pos := token.Position{Filename: s}
	name, col, ok := cutLast(s)
	if !ok {
		return pos
	}
	if base, line, ok := cutLast(name); ok {
		return token.Position{Filename: base, Line: line, Column: col}
	}
	return token.Position{Filename: name, Line: col}
}

func cutLast(s string) (before string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	_, err := fmt.Sscanf(s[i+1:], "%d", &n)
	return s[:i], n, err == nil
}
