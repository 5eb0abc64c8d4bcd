package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"html/template"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// documented is a package with its documentation.
type documented struct {
	*doc.Package
	fset *token.FileSet
}

// packagesIn returns the folders below root that have Go files, sorted, relative to
// it.
func packagesIn(root string) ([]string, error) {
	found := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if isSource(name) {
			rel, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			found[filepath.ToSlash(rel)] = true
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no Go files below %s", root)
	}
	if err != nil {
		return nil, err
	}
	var dirs []string
	for dir := range found {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs, nil
}

func isSource(file string) bool {
	return strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go")
}

// readPackage parses the package in a folder.
func readPackage(dir, path string) (*documented, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	byPackage := make(map[string][]*ast.File)
	for _, name := range names {
		if !isSource(name) {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		byPackage[f.Name.Name] = append(byPackage[f.Name.Name], f)
	}
	var files []*ast.File
	for _, fs := range byPackage { // but for files of another build, all are of one
		if len(fs) > len(files) {
			files = fs
		}
	}
	if len(files) == 0 {
		return nil, errors.New("it has no files")
	}
	pkg, err := doc.NewFromFiles(fset, files, path)
	if err != nil {
		return nil, err
	}
	return &documented{pkg, fset}, nil
}

// source is the Go text of a declaration.
func (p *documented) source(decl ast.Decl) string {
	if f, ok := decl.(*ast.FuncDecl); ok {
		f.Body = nil
	}
	var b bytes.Buffer
	if err := format.Node(&b, p.fset, decl); err != nil {
		return err.Error()
	}
	return b.String()
}

// pageFile is where the page of a package is in the site.
func pageFile(dir string) string {
	if dir == "." {
		return "root.html"
	}
	return strings.ReplaceAll(dir, "/", ".") + ".html"
}

var pages = template.Must(template.New("").Parse(`{{define "head"}}<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
pre { background: #8881; padding: .75rem; overflow: auto } h3 { margin-bottom: .25rem }
td { padding: .1rem 1rem .1rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } a { color: #8cf } }
</style>
{{end}}
{{define "decl"}}<pre>{{.Source}}</pre>{{.Doc}}{{end}}
{{define "page"}}{{template "head" .Page.Package}}<p><a href="index.html">all packages</a></p>
<h1>package {{.Name}}</h1><p><code>{{.Page.Package}}</code></p>{{.Doc}}
{{range .Values}}{{template "decl" .}}{{end}}
{{range .Funcs}}<h3 id="{{.Name}}">func {{.Name}}</h3>{{template "decl" .}}{{end}}
{{range .Types}}<h2 id="{{.Name}}">type {{.Name}}</h2>{{template "decl" .}}
{{range .Members}}<h3 id="{{.Name}}">{{.Name}}</h3>{{template "decl" .}}{{end}}{{end}}
{{end}}
{{define "index"}}{{template "head" "Packages"}}<h1>Packages</h1>
<table>{{range .}}<tr><td><a href="{{.File}}">{{.Package}}</a><td>{{.Synopsis}}{{end}}</table>
{{end}}`))

// decl is a declaration on a page.
type decl struct {
	Name, Source string
	Doc          template.HTML
	Members      []decl
}

func (p *documented) decl(name string, d ast.Decl, text string) decl {
	return decl{Name: name, Source: p.source(d), Doc: template.HTML(p.HTML(text))} //nolint:gosec // go/doc escapes it
}

// writePage writes the page of a package into the site that is made.
func writePage(staging string, page Page, p *documented) error {
	data := struct {
		Page                 Page
		Name                 string
		Doc                  template.HTML
		Values, Funcs, Types []decl
	}{Page: page, Name: p.Name, Doc: template.HTML(p.HTML(p.Doc))} //nolint:gosec // as above
	for _, v := range slices.Concat(p.Consts, p.Vars) {
		data.Values = append(data.Values, p.decl("", v.Decl, v.Doc))
	}
	for _, f := range p.Funcs {
		data.Funcs = append(data.Funcs, p.decl(f.Name, f.Decl, f.Doc))
	}
	for _, t := range p.Types {
		d := p.decl(t.Name, t.Decl, t.Doc)
		for _, f := range slices.Concat(t.Funcs, t.Methods) {
			d.Members = append(d.Members, p.decl(f.Name, f.Decl, f.Doc))
		}
		data.Types = append(data.Types, d)
	}
	return write(staging, page.File, "page", data)
}

// writeIndex writes the page that lists all.
func writeIndex(staging string, all []Page) error { return write(staging, "index.html", "index", all) }

// write renders a template into a file, whole or not at all: a task that writes it
// may be killed, and run again.
func write(staging, file, name string, data any) error {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(staging, "."+file+"*")
	if err != nil {
		return err
	}
	_, err = temp.Write(b.Bytes())
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), filepath.Join(staging, file))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// release puts the site into its place. If it runs again, since it was killed
// before that was remembered, it finds its work done.
func release(staging, site string) error {
	if _, err := os.Stat(staging); errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(filepath.Join(site, "index.html"))
		return err
	}
	old := site + ".old"
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(site, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(staging, site); err != nil {
		return err
	}
	return os.RemoveAll(old)
}
