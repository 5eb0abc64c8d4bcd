package gen

import (
	"go/ast"
	"go/build/constraint"
	"go/token"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
)

// constraints finds the build constraint that all annotated files share, and
// reports those that differ: one generated file cannot serve both.
func (b *builder) constraints() {
	order, first := b.constraintsOf(b.found, true)
	if len(order) > 1 {
		// A package of which only some files use cgo needs it as a whole.
		order, first = b.constraintsOf(b.found, false)
	}
	if len(order) == 0 {
		return
	}
	b.constraint = order[0]
	for _, c := range order[1:] {
		d := first[c]
		e := b.report(d.Slash, d.End, "build-constraint",
			"move what differs into a package of its own, or give all files of tasks one constraint",
			"tasks of one package are in files with different build constraints: %s", orNone(c))
		b.related(e, first[order[0]].Slash, "here: %s", orNone(order[0]))
	}
}

func orNone(c string) string {
	if c == "" {
		return "none"
	}
	return c
}

// constraintsOf returns the build constraints of the files of directives, in
// order, and the first directive with each.
func (b *builder) constraintsOf(found []*annotations.Directive, cgo bool) ([]string, map[string]*annotations.Directive) {
	first := map[string]*annotations.Directive{}
	var order []string
	for _, d := range found {
		c := b.constraintOf(d.Slash, cgo)
		if first[c] == nil {
			first[c] = d
			order = append(order, c)
		}
	}
	return order, first
}

// constraintOf returns the build constraint of the file at pos, as an
// expression: that of its //go:build line, that of its name, and if it is asked
// for that of cgo, which a file has that imports "C".
func (b *builder) constraintOf(pos token.Pos, cgo bool) string {
	i := slices.IndexFunc(b.load.Files, func(f *ast.File) bool { return f.FileStart <= pos && pos <= f.FileEnd })
	f := b.load.Files[i]
	var all constraint.Expr
	add := func(e constraint.Expr) {
		if all == nil {
			all = e
		} else {
			all = &constraint.AndExpr{X: all, Y: e}
		}
	}
	for _, g := range f.Comments {
		if g.Pos() > f.Package {
			break
		}
		for _, c := range g.List {
			if expr, err := constraint.Parse(c.Text); err == nil && constraint.IsGoBuild(c.Text) {
				add(expr)
			}
		}
	}
	for _, tag := range nameConstraint(b.at(f.Package).Filename) {
		add(&constraint.TagExpr{Tag: tag})
	}
	if cgo && slices.ContainsFunc(f.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"C"` }) {
		add(&constraint.TagExpr{Tag: "cgo"})
	}
	if all == nil {
		return ""
	}
	return all.String()
}

// nameConstraint returns the tags that a file's name stands for: "mail_linux.go"
// is built for linux only.
func nameConstraint(name string) []string {
	name = strings.TrimSuffix(filepath.Base(name), ".go")
	_, name, ok := strings.Cut(name, "_")
	if !ok {
		return nil
	}
	parts := strings.Split(name, "_")
	last := parts[len(parts)-1]
	if len(parts) >= 2 && knownArch[last] && knownOS[parts[len(parts)-2]] {
		return []string{parts[len(parts)-2], last}
	}
	if knownArch[last] || knownOS[last] {
		return []string{last}
	}
	return nil
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range slices.Values(strings.Fields(words)) {
		m[w] = true
	}
	return m
}

// The names that the go command knows, as in internal/syslist.
var (
	knownOS = set("aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 " +
		"solaris wasip1 windows zos")
	knownArch = set("386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 " +
		"mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm")
)
