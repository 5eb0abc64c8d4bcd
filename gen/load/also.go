package load

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// Clauses returns the package clauses, with the comments above them, of the files
// of a directory's build that contain the word.
func (l *Loader) Clauses(dir, word string) (list []*ast.File) {
	s := l.snapshot(dir)
	for _, f := range s.files {
		if f.test || !bytes.Contains(f.data, []byte(word)) || !l.inBuild(dir, f) {
			continue
		}
		tree, _ := parser.ParseFile(token.NewFileSet(), f.name, f.data, parser.PackageClauseOnly|parser.ParseComments)
		if tree != nil {
			list = append(list, tree)
		}
	}
	return list
}

// Find returns the directory and the import path of a main module's package, ""
// if there is none. name is its import path, or a directory that begins with ./ or
// ../, as seen from the directory from.
func (l *Loader) Find(from, name string) (dir, path string) {
	if strings.HasPrefix(name, "./") || name == ".." || strings.HasPrefix(name, "../") {
		dir = filepath.Join(from, filepath.FromSlash(name))
	} else if mod, found := l.mods.ofPath(name); mod != nil {
		dir = found
	} else {
		return "", ""
	}
	mod, path := l.mods.ofDir(dir)
	if s := l.snapshot(dir); mod == nil || s.err != nil || s.empty() {
		return "", ""
	}
	return dir, path
}

// Covers reports whether the import path belongs to a module that is read from its
// source.
func (l *Loader) Covers(path string) bool { return l.mods.covers(path) }

// Uses notes that what is generated for the package depends on the package of this
// import path, too.
func (p *Package) Uses(path string) { p.imports[path] = true }
