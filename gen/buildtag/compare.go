package buildtag

import (
	"go/build/constraint"
	"go/version"
	"slices"
	"strings"
)

// Possible reports whether there is a build that the constraint chooses.
func Possible(e constraint.Expr) bool {
	if e == nil {
		return true
	}
	possible, known := anyBuild(e)
	return possible || !known
}

// Same reports whether two constraints choose the same builds.
func Same(a, b constraint.Expr) bool { return implies(a, b) && implies(b, a) }

// Implies reports whether b chooses each build that a chooses.
func Implies(a, b constraint.Expr) bool { return implies(a, b) }

// Set returns the constraint that each tag of e which is neither a system nor a
// version is as has says, nil if there is none.
func Set(e constraint.Expr, has func(tag string) bool) (set constraint.Expr) {
	for _, tag := range tagsOf(e) {
		switch {
		case knownOS[tag] || knownArch[tag] || tag == "unix" || IsVersion(tag):
		case has(tag):
			set = And(set, Tag(tag))
		default:
			set = And(set, &constraint.NotExpr{X: Tag(tag)})
		}
	}
	return set
}

// implies reports whether b chooses each build that a chooses.
func implies(a, b constraint.Expr) bool {
	if b == nil {
		return true
	}
	if a != nil && a.String() == b.String() {
		return true
	}
	possible, known := anyBuild(And(a, &constraint.NotExpr{X: b}))
	return known && !possible
}

// maxFree is how many tags at most are tried both ways.
const maxFree = 10

// anyBuild reports whether any build makes the constraint true, and whether
// that is known: with too many tags it is not.
func anyBuild(e constraint.Expr) (possible, known bool) {
	var free, arches []string
	for _, tag := range tagsOf(e) {
		switch {
		case slices.Contains(archNames, tag):
			arches = append(arches, tag)
		case knownOS[tag] || knownArch[tag] || tag == "unix" || tag == "gccgo" || always(tag):
		default:
			free = append(free, tag)
		}
	}
	if len(free) > maxFree {
		return false, false
	}
	for _, goos := range osNames {
		for _, goarch := range append(arches, "other") {
			web, wasm := goos == "js" || goos == "wasip1", goarch == "wasm"
			if web != wasm && (wasm || slices.Contains(arches, "wasm")) {
				continue
			}
			for bits := range 1 << len(free) {
				has := func(tag string) bool {
					if i := slices.Index(free, tag); i >= 0 {
						return bits>>i&1 == 1
					}
					return tag == goarch || always(tag) || ofOS(goos, tag) ||
						tag == "gccgo" && !hasFree(free, bits, "gc")
				}
				if e.Eval(has) {
					return true, true
				}
			}
		}
	}
	return false, true
}

// hasFree reports whether a tag is set that is tried both ways; a tag that is
// not tried counts as set.
func hasFree(free []string, bits int, tag string) bool {
	i := slices.Index(free, tag)
	return i < 0 || bits>>i&1 == 1
}

// tagsOf returns the tags of a constraint, each once. gccgo adds its opposite,
// gc.
func tagsOf(e constraint.Expr) (tags []string) {
	add := func(tag string) {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	var visit func(e constraint.Expr)
	visit = func(e constraint.Expr) {
		switch e := e.(type) {
		case *constraint.TagExpr:
			add(e.Tag)
			if e.Tag == "gccgo" {
				add("gc")
			}
		case *constraint.NotExpr:
			visit(e.X)
		case *constraint.AndExpr:
			visit(e.X)
			visit(e.Y)
		case *constraint.OrExpr:
			visit(e.X)
			visit(e.Y)
		}
	}
	visit(e)
	return tags
}

// OfToolchain reports whether the constraint has a tag that the toolchain decides: an
// experiment, a level of its processor, or a version that not every user has.
func OfToolchain(e constraint.Expr) bool {
	return slices.ContainsFunc(tagsOf(e), func(tag string) bool { return strings.Contains(tag, ".") && !always(tag) })
}

// IsVersion reports whether a tag is a version of Go, such as go1.27.
func IsVersion(tag string) bool {
	return tag != "go1" && version.IsValid(tag) && version.Lang(tag) == tag
}

// always reports whether a tag is a version of Go that every user of generated code
// has.
func always(tag string) bool { return IsVersion(tag) && version.Compare(tag, "go1.26") <= 0 }

// ofOS reports whether a tag is set on a system.
func ofOS(goos, tag string) bool {
	switch tag {
	case goos:
		return true
	case "unix":
		return unixOS[goos]
	case "linux":
		return goos == "android"
	case "solaris":
		return goos == "illumos"
	case "darwin":
		return goos == "ios"
	}
	return false
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// The names that the go command knows, as in internal/syslist, and those of
// them that it builds for.
var (
	knownOS = set("aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 " +
		"solaris wasip1 windows zos")
	knownArch = set("386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 " +
		"mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm")
	unixOS  = set("aix android darwin dragonfly freebsd hurd illumos ios linux netbsd openbsd solaris")
	osNames = strings.Fields("aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris " +
		"wasip1 windows")
	archNames = strings.Fields("386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm")
)
