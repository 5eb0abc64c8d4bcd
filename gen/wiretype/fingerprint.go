package wiretype

import (
	"crypto/sha256"
	"encoding/hex"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Fingerprint returns a short text for the shape of t's values in JSON: types
// of one fingerprint read each other's values. Basic and well-known types have
// their names; so have types that encode themselves, since their shape is in
// their code. A struct is its name and a hash of its keys and their shapes, in
// any order:
//
//	string   []int64   map[string]*time.Time   Order:9f86d081
//
// The name before a colon does not count: a renamed struct reads the same
// JSON. Other named types have the fingerprint of their underlying type. The
// fingerprint of a type that survives has no white space in it.
//
// A struct with omitempty or omitzero fields may grow: these follow, in braces.
// See [Compare].
//
//	Order:9f86d081{1a2b3c4d;coupon=string;items[].gift=bool}
func Fingerprint(t types.Type) string {
	s := shaper{closed: map[types.Type]string{}}
	return s.shape(t, true) + growth(t)
}

// maxExpanded bounds how many structs are written out. Only structs that refer
// to each other in very many ways reach it.
const maxExpanded = 10_000

// shaper writes shapes.
type shaper struct {
	around    []types.Type          // the named types around the current one
	outermost int                   // the least index in around that was referred to
	closed    map[types.Type]string // shapes of structs that refer to none around them
	expanded  int
	loose     bool       // without the fields that may be left out
	without   *types.Var // nor this one
}

// shape writes the shape of t. At the top structs are named; within other
// structs only their hash counts.
func (s *shaper) shape(t types.Type, top bool) string {
	if q := qualified(t); named(q) {
		return short(q)
	}
	t = types.Unalias(t)
	n, ok := t.(*types.Named)
	if !ok {
		return s.underlying(t, top)
	}
	if m := methodsOf(t); m.any() {
		return s.opaque(n, top)
	}
	if i := slices.IndexFunc(s.around, func(outer types.Type) bool { return types.Identical(outer, t) }); i >= 0 {
		s.outermost = min(s.outermost, i)
		return "^" + strconv.Itoa(s.structsFrom(i))
	}
	if len(s.around) > maxDepth {
		return "..."
	}
	s.around = append(s.around, t)
	defer func() { s.around = s.around[:len(s.around)-1] }()
	return s.underlying(t, top)
}

// underlying writes the shape of t by its underlying type.
func (s *shaper) underlying(t types.Type, top bool) string {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return types.Typ[u.Kind()].Name()
	case *types.Pointer:
		return "*" + s.shape(u.Elem(), top)
	case *types.Slice:
		if elem := s.shape(u.Elem(), top); elem != "uint8" {
			return "[]" + elem
		}
		return "[]byte"
	case *types.Array:
		return "[" + strconv.FormatInt(u.Len(), 10) + "]" + s.shape(u.Elem(), top)
	case *types.Map:
		return "map[" + s.shape(u.Key(), top) + "]" + s.shape(u.Elem(), top)
	case *types.Struct:
		shape := s.structure(t, u)
		if !top {
			return shape
		}
		sum, ok := strings.CutPrefix(shape, "#")
		if !ok { // it refers to a slice or map of itself, around it
			sum = hash(shape)
		}
		return structName(t) + ":" + sum
	}
	return name(t)
}

// structure writes a struct's keys, sorted, with their shapes. A struct that
// refers to no struct around it is written as its hash, and only once.
func (s *shaper) structure(t types.Type, u *types.Struct) string {
	if shape, ok := s.closed[t]; ok {
		return shape
	}
	if s.expanded++; s.expanded > maxExpanded {
		return "..."
	}
	outer := s.outermost
	s.outermost = len(s.around)
	self := len(s.around) // its index in around, if it has a name
	if _, named := t.(*types.Named); named {
		self--
	}
	fields := fieldsOf(u).fields
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.key, b.key) })
	var members []string
	for _, f := range fields {
		if !s.loose || !f.omitted() && f.v != s.without {
			members = append(members, strconv.Quote(f.key)+":"+s.member(f))
		}
	}
	shape := "{" + strings.Join(members, ";") + "}"
	if s.outermost >= self {
		shape = "#" + hash(shape)
		s.closed[t] = shape
	}
	s.outermost = min(s.outermost, outer)
	return shape
}

// member writes the shape of a field.
func (s *shaper) member(f field) string {
	shape := s.shape(f.v.Type(), false)
	if f.quoted {
		shape += ",string"
	}
	return shape
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// structsFrom counts the structs from the current type out to the i-th named
// type: named slices and maps between them leave no trace in the JSON.
func (s *shaper) structsFrom(i int) int {
	n := 0
	for _, t := range s.around[i:] {
		if _, ok := t.Underlying().(*types.Struct); ok {
			n++
		}
	}
	return n
}

// opaque returns the shape of a type that encodes itself.
func (s *shaper) opaque(t *types.Named, top bool) string {
	obj := t.Obj()
	text := obj.Name()
	if obj.Pkg() != nil {
		text = obj.Pkg().Name() + "." + text
	}
	if t.TypeArgs().Len() == 0 {
		return text
	}
	var args []string
	for arg := range t.TypeArgs().Types() {
		args = append(args, s.shape(arg, top))
	}
	return text + "[" + strings.Join(args, ",") + "]"
}

func structName(t types.Type) string {
	if named, ok := t.(*types.Named); ok {
		return named.Obj().Name()
	}
	return "struct"
}

// namesOfStructs match the name of a struct before the hash of its shape.
var namesOfStructs = regexp.MustCompile(`[\pL\pN_]+:`)

// SameOnWire reports whether types with these fingerprints read all of each
// other's values: the names of structs do not count.
func SameOnWire(a, b string) bool { return partsOf(a).exact == partsOf(b).exact }
