package load

import (
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strconv"
	"strings"
)

// check type-checks the package's declarations, once.
func (l *Loader) check(ctx context.Context, p *Package) {
	if p.state != unchecked {
		return
	}
	p.state = checking
	l.checkOnce(ctx, p)
	if !p.all && p.undefined() {
		// The guess about the needed imports may be wrong: take all.
		p.all = true
		p.imports = nil
		need := map[string]bool{}
		l.plan(p, need)
		if err := l.exp.ensure(ctx, need); err == nil {
			l.checkOnce(ctx, p)
		}
	}
	p.state = checked
}

// undefined reports whether the checker missed a name that an import may give.
func (p *Package) undefined() bool {
	for _, e := range p.Errors {
		if strings.Contains(e.Msg, "undefined: ") {
			return true
		}
	}
	return false
}

func (l *Loader) checkOnce(ctx context.Context, p *Package) {
	p.Errors = nil
	used := p.usedNames()
	files := make([]*ast.File, len(p.Files))
	for i, f := range p.Files {
		files[i] = p.prune(f, used)
	}
	conf := types.Config{
		IgnoreFuncBodies: true,
		FakeImportC:      true,
		Importer:         importerFunc(func(path string) (*types.Package, error) { return l.importOr(ctx, path, used) }),
		Sizes:            types.SizesFor("gc", l.ctxt.GOARCH),
		Error: func(err error) {
			if e, ok := err.(types.Error); ok && !e.Soft {
				p.Errors = append(p.Errors, e)
			}
		},
	}
	p.Types, _ = conf.Check(p.Path, l.fset, files, nil) // the errors are in p.Errors
}

type importerFunc func(path string) (*types.Package, error)

func (f importerFunc) Import(path string) (*types.Package, error) { return f(path) }

// importOr returns an imported package. If that cannot be imported, it returns
// an empty package with the error, named as the importing package uses it.
// Complaints about its names then say that the import failed.
func (l *Loader) importOr(ctx context.Context, path string, used map[string]bool) (*types.Package, error) {
	pkg, err := l.importFor(ctx, path)
	if pkg == nil && err != nil {
		pkg = types.NewPackage(path, likelyName(path, used))
	}
	return pkg, err
}

// FailedImport returns the name of the failed import behind such an error, or
// "".
func (p *Package) FailedImport(e types.Error) string {
	for _, f := range p.Files {
		if e.Pos < f.FileStart || f.FileEnd < e.Pos {
			continue
		}
		for _, s := range f.Imports {
			if e.Pos < s.Pos() || s.End() < e.Pos {
				continue
			}
			if s.Name != nil {
				return s.Name.Name
			}
			if path, err := strconv.Unquote(s.Path.Value); err == nil {
				return likelyName(path, p.usedNames())
			}
		}
	}
	return ""
}

// likelyName returns the most likely name of the package at this path,
// preferring a used one.
func likelyName(imp string, used map[string]bool) string {
	name := guessName(imp)
	base, version, ok := strings.Cut(name, ".") // gopkg.in/yaml.v3
	candidates := []string{name}
	if ok && strings.HasPrefix(version, "v") {
		candidates = []string{base, name}
	}
	name = candidates[0]
	candidates = append(candidates, strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '.' })...)
	candidates = append(candidates, strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return -1
		}
		return r
	}, name))
	for _, c := range candidates {
		if used[c] {
			return c
		}
	}
	return name
}

// importFor returns an imported package: from source or from export data.
func (l *Loader) importFor(ctx context.Context, path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	dep := l.source(path)
	if dep == nil {
		return l.exp.Import(path)
	}
	if dep.state == checking {
		return nil, fmt.Errorf("import cycle through %s", path)
	}
	if dep.imports == nil {
		need := map[string]bool{}
		l.plan(dep, need)
		if err := l.exp.ensure(ctx, need); err != nil {
			return nil, err
		}
	}
	l.check(ctx, dep)
	if dep.Types == nil {
		return nil, fmt.Errorf("%s has no Go files", path)
	}
	return dep.Types, nil
}

// usedNames returns the names that the package's types, constants and
// signatures use. Other variables do not matter.
func (p *Package) usedNames() map[string]bool {
	used := map[string]bool{}
	for _, f := range p.Files {
		eachType(f, func(n ast.Node) {
			if id, ok := n.(*ast.Ident); ok {
				used[id.Name] = true
			}
		})
	}
	return used
}

// eachType calls visit with each node of the file's declarations that a type
// may depend on: not function bodies, nor the values of variables.
func eachType(f *ast.File, visit func(ast.Node)) {
	inspect := func(n ast.Node) bool {
		if n != nil {
			visit(n)
		}
		return true
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				ast.Inspect(d.Recv, inspect)
			}
			ast.Inspect(d.Type, inspect)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.TypeParams != nil {
						ast.Inspect(s.TypeParams, inspect)
					}
					ast.Inspect(s.Type, inspect)
				case *ast.ValueSpec:
					if s.Type != nil {
						ast.Inspect(s.Type, inspect)
					}
					if d.Tok == token.CONST {
						for _, v := range s.Values {
							ast.Inspect(v, inspect)
						}
					}
				}
			}
		}
	}
}

// prune returns the file without the parts that its types do not depend on:
// unneeded imports, and the values of variables. It shares the rest.
func (p *Package) prune(f *ast.File, used map[string]bool) *ast.File {
	pruned := *f
	pruned.Decls = nil
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.IMPORT && g.Tok != token.VAR {
			pruned.Decls = append(pruned.Decls, decl)
			continue
		}
		short := *g
		short.Specs = nil
		for _, spec := range g.Specs {
			if s := p.pruneSpec(spec, used); s != nil {
				short.Specs = append(short.Specs, s)
			}
		}
		if len(short.Specs) > 0 {
			pruned.Decls = append(pruned.Decls, &short)
		}
	}
	return &pruned
}

func (p *Package) pruneSpec(spec ast.Spec, used map[string]bool) ast.Spec {
	switch s := spec.(type) {
	case *ast.ImportSpec:
		if pkg, err := strconv.Unquote(s.Path.Value); err != nil || pkg != "C" && !p.imports[pkg] {
			return nil
		}
	case *ast.ValueSpec:
		keep := slices.ContainsFunc(s.Names, func(id *ast.Ident) bool { return used[id.Name] })
		if !keep && s.Type == nil {
			return nil
		}
		if s.Type != nil && !keep {
			short := *s
			short.Values = nil
			return &short
		}
	}
	return spec
}

// neededImports returns the paths that the file's declarations need, or may
// need.
func (l *Loader) neededImports(p *Package, f *ast.File) []string {
	names := map[string]bool{}
	eachType(f, func(n ast.Node) {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok {
				names[id.Name] = true
			}
		}
	})
	var need, unsure []string
	explained := map[string]bool{}
	for _, s := range f.Imports {
		imp, err := strconv.Unquote(s.Path.Value)
		if err != nil || imp == "C" {
			explained["C"] = true
			continue
		}
		name := guessName(imp)
		if s.Name != nil {
			name = s.Name.Name
		}
		switch {
		case p.all && name != "_", name == ".", names[name]:
			need = append(need, imp)
			explained[name] = true
		case s.Name == nil && !isStandard(imp):
			unsure = append(unsure, imp)
		}
	}
	for name := range names {
		if !explained[name] {
			return append(need, unsure...)
		}
	}
	return need
}

// guessName returns the usual name of the package at this path.
func guessName(imp string) string {
	name := path.Base(imp)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(imp))
	}
	return name
}

// isStandard reports whether the path is in the standard library, whose paths
// have no dot in their first element.
func isStandard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}
