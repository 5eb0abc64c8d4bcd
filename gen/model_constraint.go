package gen

import (
	"go/ast"
	"go/build/constraint"
	"go/token"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/buildtag"
)

// constraints finds the build constraint that all annotated files share, in
// any form, and reports those that differ: one generated file cannot serve
// both. A declaration that exists once for each system has the constraints of
// all of these together.
func (b *builder) constraints() {
	sites := b.sites(true)
	if !sameBuilds(sites) {
		// If only some files use cgo, the package needs it as a whole.
		sites = b.sites(false)
	}
	if len(sites) == 0 {
		return
	}
	for _, s := range sites {
		text := buildtag.String(s.builds)
		if b.constraint == "" || len(text) < len(b.constraint) || len(text) == len(b.constraint) && text < b.constraint {
			b.constraint = text
		}
	}
	b.builds = sites[0].builds
	var seen []constraint.Expr
	for _, s := range sites {
		if slices.ContainsFunc(seen, func(e constraint.Expr) bool { return buildtag.Same(e, s.builds) }) {
			continue
		}
		if seen = append(seen, s.builds); len(seen) == 1 {
			continue
		}
		e := b.report(s.d.Slash, s.d.End, "build-constraint",
			"move what differs into a package of its own, or give all files of tasks one constraint",
			"tasks of one package are in files with different build constraints: %s", orNone(s.builds))
		b.related(e, sites[0].d.Slash, "here: %s", orNone(sites[0].builds))
	}
}

func orNone(e constraint.Expr) string {
	if text := buildtag.String(e); text != "" {
		return text
	}
	return "none"
}

// site is an annotated declaration, with the builds that have it.
type site struct {
	d      *annotations.Directive
	builds constraint.Expr
}

// sites returns the annotated declarations of this build. With cgo set, a file
// that uses cgo is only for builds with it.
func (b *builder) sites(cgo bool) []site {
	var all []site
	for _, d := range slices.Concat(b.found, b.clientOf) {
		type variant struct {
			file   string
			builds constraint.Expr
		}
		f := b.fileOf(d.Slash)
		variants := []variant{{b.load.FileName(f), b.load.Constraint(f, cgo)}}
		for _, v := range b.elsewhere {
			if v.sameAs(d) {
				variants = append(variants, variant{b.load.FileName(v.file.Tree), v.file.Constraint})
			}
		}
		slices.SortFunc(variants, func(a, b variant) int { return strings.Compare(a.file, b.file) })
		builds := variants[0].builds
		for _, v := range variants[1:] {
			builds = buildtag.Or(builds, v.builds)
		}
		all = append(all, site{d, builds})
	}
	return all
}

func sameBuilds(sites []site) bool {
	return !slices.ContainsFunc(sites, func(s site) bool { return !buildtag.Same(s.builds, sites[0].builds) })
}

// fileOf returns the file of this build that holds pos.
func (b *builder) fileOf(pos token.Pos) *ast.File {
	i := slices.IndexFunc(b.load.Files, func(f *ast.File) bool { return f.FileStart <= pos && pos <= f.FileEnd })
	return b.load.Files[i]
}

// declName returns the name of the declaration under a directive.
func declName(d *annotations.Directive) string {
	switch {
	case d.Func != nil:
		return funcName(d.Func)
	case d.Type != nil:
		return d.Type.Name.Name
	}
	return ""
}
