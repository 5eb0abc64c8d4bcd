package load

import (
	"go/build/constraint"
	"go/parser"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/taskctx/taskctx/gen/buildtag"
)

// FileOf returns the file that declares an object, "" if it is not known.
func (l *Loader) FileOf(obj types.Object) string {
	name := l.fset.PositionFor(obj.Pos(), false).Filename
	if rest, ok := strings.CutPrefix(name, "$GOROOT/"); ok {
		return filepath.Join(l.tools().root, filepath.FromSlash(rest))
	}
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	// Compiled with -trimpath.
	if mod, rest, ok := strings.Cut(name, "@"); ok {
		if escaped, err := module.EscapePath(mod); err == nil {
			return filepath.Join(l.env.modCache(), filepath.FromSlash(escaped+"@"+rest))
		}
	}
	return filepath.Join(l.tools().root, "src", filepath.FromSlash(name))
}

// Set returns the constraint that the tags of c, but for systems and versions, are
// as in this build; nil if it has none.
func (l *Loader) Set(c constraint.Expr) constraint.Expr {
	return buildtag.Set(c, func(tag string) bool {
		return slices.Contains(l.ctxt.BuildTags, tag) || tag == "cgo" && l.ctxt.CgoEnabled || tag == "gc" ||
			strings.Contains(tag, ".") && slices.Contains(l.tools().tags, tag)
	})
}

// Builds returns the constraint of the file that declares an object.
func (l *Loader) Builds(obj types.Object) constraint.Expr {
	name := l.FileOf(obj)
	if name == "" {
		return nil
	}
	return buildtag.Of(name, l.text(name))
}

// text returns the content of a source file, nil if it cannot be read.
func (l *Loader) text(name string) []byte {
	dir, base := filepath.Split(name)
	if s := l.snaps[filepath.Clean(dir)]; s != nil {
		for _, f := range s.files {
			if f.name == base {
				return f.data
			}
		}
	}
	data, _ := os.ReadFile(name)
	return data
}

// Siblings returns the files beside the one that declares an object, itself
// included, of its package and any build, without tests.
func (l *Loader) Siblings(obj types.Object) []*Other {
	name := l.FileOf(obj)
	if name == "" {
		return nil
	}
	dir := filepath.Dir(name)
	if done, ok := l.siblings[dir]; ok {
		return done
	}
	var list []*Other
	if p := l.pkgs[obj.Pkg().Path()]; p != nil && p.Module.Main {
		for _, f := range p.Files {
			list = append(list, &Other{Tree: f, Constraint: p.Constraint(f, false)})
		}
		for _, o := range p.Others {
			if !o.Test {
				list = append(list, o)
			}
		}
	} else {
		list = l.parseAll(obj.Pkg(), dir)
	}
	if l.siblings == nil {
		l.siblings = map[string][]*Other{}
	}
	l.siblings[dir] = list
	return list
}

// parseAll parses the files of a directory that belong to the package.
func (l *Loader) parseAll(pkg *types.Package, dir string) []*Other {
	entries, _ := os.ReadDir(dir) // none, if the sources are not there
	all := make([]*Other, len(entries))
	parallel(len(entries), func(i int) {
		name := entries[i].Name()
		if !entries[i].Type().IsRegular() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return
		}
		name = filepath.Join(dir, name)
		data, err := os.ReadFile(name)
		if err != nil {
			return
		}
		tree, _ := parser.ParseFile(l.fset, name, data, parser.SkipObjectResolution)
		if tree != nil && tree.Name != nil && tree.Name.Name == pkg.Name() {
			all[i] = &Other{Tree: tree, Constraint: buildtag.Of(name, data)}
		}
	})
	return slices.DeleteFunc(all, func(o *Other) bool { return o == nil })
}
