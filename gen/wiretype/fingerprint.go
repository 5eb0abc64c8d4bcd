package wiretype

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// Fingerprint returns a short text for the shape that values of t have in JSON:
// types of one fingerprint read each other's values. Basic and well-known types
// are called by their names; so are types that encode themselves, since their
// shape is in their code. A struct is its name and a hash of its keys and their
// shapes, in any order:
//
//	string   []int64   map[string]*time.Time   Order:9f86d081
//
// Only what follows the colon counts: a struct that is renamed reads the same
// JSON. Other named types have the fingerprint of what they are declared as.
func Fingerprint(t types.Type) string {
	return shaper{}.shape(t, true)
}

// shaper writes shapes. around are the named types around the current one.
type shaper struct {
	around []*types.Named
}

// shape writes the shape of t. At the top structs are named and hashed, within
// them they are written out, so that the hash does not depend on names.
func (s shaper) shape(t types.Type, top bool) string {
	t = types.Unalias(t)
	if named, ok := t.(*types.Named); ok {
		if _, ok := wellKnown[qualified(t)]; ok || qualified(t) == "time.Duration" {
			return name(t)
		}
		if m := methodsOf(t); m.any() {
			return s.opaque(named, top)
		}
		for i, outer := range s.around {
			if types.Identical(outer, t) {
				return fmt.Sprintf("^%d", s.structsFrom(i))
			}
		}
		s.around = append(slices.Clip(s.around), named)
	}
	if len(s.around) > maxDepth {
		return "..."
	}
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
		return fmt.Sprintf("[%d]%s", u.Len(), s.shape(u.Elem(), top))
	case *types.Map:
		return "map[" + s.shape(u.Key(), top) + "]" + s.shape(u.Elem(), top)
	case *types.Struct:
		expanded := s.structure(u)
		if !top {
			return expanded
		}
		sum := sha256.Sum256([]byte(expanded))
		return structName(t) + ":" + hex.EncodeToString(sum[:4])
	}
	return name(t)
}

// structsFrom counts the structs around the current type down to the i-th
// named type: named slices and maps between them leave no trace in the JSON.
func (s shaper) structsFrom(i int) int {
	n := 0
	for _, named := range s.around[i:] {
		if _, ok := named.Underlying().(*types.Struct); ok {
			n++
		}
	}
	return n
}

// opaque is the shape of a type that encodes itself.
func (s shaper) opaque(t *types.Named, top bool) string {
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

// structure writes a struct's keys, sorted, with their shapes.
func (s shaper) structure(u *types.Struct) string {
	var members []string
	for _, f := range fieldsOf(u).fields {
		shape := s.shape(f.v.Type(), false)
		if f.quoted {
			shape += ",string"
		}
		members = append(members, fmt.Sprintf("%q:%s", f.key, shape))
	}
	slices.Sort(members)
	return "{" + strings.Join(members, ";") + "}"
}

func structName(t types.Type) string {
	if named, ok := t.(*types.Named); ok {
		return named.Obj().Name()
	}
	return "struct"
}
