package wiretype

import (
	"cmp"
	"fmt"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// maxLoose bounds how many fields a fingerprint lists. A struct with more is
// compared as a whole.
const maxLoose = 64

// maxWalked bounds how many fields are looked at for those to list.
const maxWalked = 10_000

// growth returns the part of t's fingerprint by which versions of a struct with
// omitempty or omitzero fields read each other, empty without such fields:
//
//	{1a2b3c4d;coupon=string;items[].gift=bool}
//
// The hash is of the struct without these fields, in its parts too. Each field
// follows with its shape.
func growth(t types.Type) string {
	g := grown(t)
	if len(g.fields) == 0 || len(g.fields) > maxLoose || g.walked > maxWalked {
		return ""
	}
	text := "{" + g.hash(t)
	for _, path := range slices.Sorted(maps.Keys(g.fields)) {
		text += ";" + path + "=" + g.fields[path]
	}
	return text + "}"
}

// hash returns the hash of a struct, or of those in a slice, an array or a map,
// without its fields that may be left out.
func (s *shaper) hash(t types.Type) string {
	shape := s.shape(t, true)
	return shape[strings.LastIndexByte(shape, ':')+1:]
}

// grower finds the fields that may be left out, by their paths.
type grower struct {
	shaper
	fields map[string]string
	needed []neededField // the others
	always []string      // those that omitempty never leaves out
	walked int
}

type neededField struct {
	path string
	v    *types.Var
}

func grown(t types.Type) *grower {
	g := &grower{shaper: shaper{closed: map[types.Type]string{}, loose: true}, fields: map[string]string{}}
	g.walk(t, "")
	return g
}

// AlwaysWritten returns the paths of t's fields with omitempty that are never
// empty: structs and arrays.
func AlwaysWritten(t types.Type) []string { return grown(t).always }

// WouldFit returns the path of the field of t that makes it another type than
// that of the fingerprint, if that is one field without omitempty and omitzero.
func WouldFit(was string, t types.Type) string {
	old, is := partsOf(was), partsOf(Fingerprint(t))
	i := strings.LastIndexByte(is.exact, ':')
	g := grown(t)
	if i < 0 || len(g.needed) > maxLoose {
		return ""
	}
	for _, f := range g.needed {
		s := shaper{closed: map[types.Type]string{}, loose: true, without: f.v}
		if is.exact[:i+1]+s.hash(t) == old.loose {
			return f.path
		}
	}
	return ""
}

// walk adds the fields of t, whose values are at path, and those of its parts.
func (g *grower) walk(t types.Type, path string) {
	if named(qualified(t)) {
		return
	}
	t = types.Unalias(t)
	if _, ok := t.(*types.Named); ok {
		m := methodsOf(t)
		again := slices.ContainsFunc(g.around, func(outer types.Type) bool { return types.Identical(outer, t) })
		if again || m.any() || len(g.around) > maxDepth {
			return
		}
		g.around = append(g.around, t)
		defer func() { g.around = g.around[:len(g.around)-1] }()
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		g.walk(u.Elem(), path)
	case *types.Slice:
		g.elements(u.Elem(), path)
	case *types.Array:
		g.elements(u.Elem(), path)
	case *types.Map:
		g.elements(u.Elem(), path)
	case *types.Struct:
		for _, f := range fieldsOf(u).fields {
			if g.walked++; g.walked > maxWalked || len(g.fields) > maxLoose {
				return
			}
			at := strings.TrimPrefix(path+"."+plainKey(f.key), ".")
			switch {
			case !f.omitted():
				g.needed = append(g.needed, neededField{at, f.v})
			case f.always():
				g.always = append(g.always, at)
				fallthrough
			default:
				g.fields[at] = g.field(f)
			}
			g.walk(f.v.Type(), at)
		}
	}
}

// elements adds the fields of what a slice, an array or a map at path has.
func (g *grower) elements(elem types.Type, path string) {
	if path != "" { // else the text before the hash says it
		path += "[]"
	}
	g.walk(elem, path)
}

// always reports whether the field is written although it has omitempty: no struct
// and no array with elements is empty.
func (f *field) always() bool {
	if f.zero {
		return false
	}
	switch u := f.v.Type().Underlying().(type) {
	case *types.Struct:
		return true
	case *types.Array:
		return u.Len() > 0
	}
	return false
}

// field returns the shape of a field, as its hash if it has signs of the list.
func (g *grower) field(f field) string {
	shape := g.member(f)
	if strings.ContainsAny(shape, `;={}":? `) {
		return hash(shape)
	}
	return shape
}

// plainKey escapes the signs of a key that are others in a fingerprint.
func plainKey(key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		if c == '_' || c == '-' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// Change is what became of a type from one fingerprint to another.
type Change struct {
	// Retyped: no value of the one is read as the other. Else the fields with
	// omitempty or omitzero differ.
	Retyped bool
	// Added, Removed and Changed are the paths of these fields, sorted. Tasks with
	// a field of Changed are not read, nor are those that have one of Removed set.
	Added, Removed, Changed []string
	was, is                 map[string]string
}

// Compare returns the change from one fingerprint to another.
func Compare(was, is string) Change {
	a, b := partsOf(was), partsOf(is)
	c := Change{was: a.fields, is: b.fields}
	if a.exact == b.exact {
		return c
	}
	c.Retyped = a.loose != b.loose
	for _, path := range slices.Sorted(maps.Keys(a.fields)) {
		switch shape, ok := b.fields[path]; {
		case !ok:
			c.Removed = append(c.Removed, path)
		case shape != a.fields[path]:
			c.Changed = append(c.Changed, path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(b.fields)) {
		if _, ok := a.fields[path]; !ok {
			c.Added = append(c.Added, path)
		}
	}
	return c
}

// Renamed returns the added field that a removed one may be now, which has its
// shape and stands beside it, or "".
func (c Change) Renamed(removed string) string {
	for _, added := range c.Added {
		if c.is[added] == c.was[removed] && parentOf(added) == parentOf(removed) {
			return added
		}
	}
	return ""
}

func parentOf(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }

// SameText reports whether fingerprints differ in the names of structs at most.
func SameText(a, b string) bool {
	return namesOfStructs.ReplaceAllString(a, ":") == namesOfStructs.ReplaceAllString(b, ":")
}

// Short returns a fingerprint without the fields that may be left out.
func Short(text string) string {
	short, _, _ := strings.Cut(text, "{")
	return short
}

// parts are those of a fingerprint, without the names of structs.
type parts struct {
	exact, loose string
	fields       map[string]string
}

func partsOf(text string) parts {
	exact, rest, _ := strings.Cut(text, "{")
	rest, grown := strings.CutSuffix(rest, "}")
	if !grown {
		exact, rest = text, ""
	}
	exact = namesOfStructs.ReplaceAllString(exact, ":")
	p := parts{exact: exact, loose: exact}
	if !grown {
		return p
	}
	list := strings.Split(rest, ";")
	p.loose = exact[:strings.LastIndexByte(exact, ':')+1] + cmp.Or(list[0], exact)
	p.fields = map[string]string{}
	for _, f := range list[1:] {
		path, shape, _ := strings.Cut(f, "=")
		p.fields[path] = shape
	}
	return p
}
