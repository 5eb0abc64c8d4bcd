package wiretype

import (
	"go/types"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// field is a field of a struct as encoding/json sees it.
type field struct {
	v      *types.Var
	path   string // in Go, from the struct: ".Base.ID"
	key    string
	tagged bool // the key is from the tag
	depth  int  // how many embedded structs it is in
	quoted bool // the option ",string"
	empty  bool // the option "omitempty"
	zero   bool // the option "omitzero"
}

// omitted reports whether the field's key may be missing in the JSON.
func (f *field) omitted() bool { return f.empty || f.zero }

// fieldSet is a struct's fields by the rules of encoding/json.
type fieldSet struct {
	fields []field   // those in the JSON, in the order of the source
	lost   []Problem // those that are not, with paths from the struct
	// pointers are the paths of embedded pointers.
	pointers []string
}

// fieldsOf applies the rules of encoding/json: fields of embedded structs are
// promoted, the least nested of one key wins, then the only one with a tag,
// otherwise none.
func fieldsOf(s *types.Struct) fieldSet {
	var set fieldSet
	set.collect(s, "", 0, map[types.Type]bool{})
	best := map[string]int{} // the index in set.fields, or -1
	for i, f := range set.fields {
		j, ok := best[f.key]
		switch {
		case !ok || j < 0 && f.depth < -j-1:
			best[f.key] = i
		case j < 0:
		default:
			best[f.key] = dominant(set.fields, i, j)
		}
	}
	kept := set.fields[:0:0]
	for i, f := range set.fields {
		if best[f.key] == i {
			kept = append(kept, f)
			continue
		}
		set.lost = append(set.lost, Problem{
			Path:   f.path,
			Reason: "another field has the key " + quote(f.key) + " too, so encoding/json leaves this one out",
			Fix:    "give it another key: `json:\"...\"`",
		})
	}
	set.fields = kept
	return set
}

// dominant returns which of two fields of one key is in the JSON: i, j, or if
// neither is, minus their depth, minus 1.
func dominant(fields []field, i, j int) int {
	a, b := fields[i], fields[j]
	switch {
	case a.depth < b.depth:
		return i
	case a.depth > b.depth:
		return j
	case a.tagged && !b.tagged:
		return i
	case b.tagged && !a.tagged:
		return j
	}
	return -a.depth - 1
}

// maxFields bounds how many fields embedded structs promote.
const maxFields = 10_000

func (set *fieldSet) collect(s *types.Struct, path string, depth int, around map[types.Type]bool) {
	for i := range s.NumFields() {
		if len(set.fields)+len(set.lost) > maxFields {
			set.lose(path, "name the fields", "it embeds too many structs")
			return
		}
		v := s.Field(i)
		if v.Name() == "_" {
			continue
		}
		f := field{v: v, path: path + "." + v.Name(), key: v.Name(), depth: depth}
		tag := reflect.StructTag(s.Tag(i)).Get("json")
		if tag == "-" {
			set.lose(f.path, "pass a type without the field, or give the struct MarshalJSON and UnmarshalJSON",
				"the tag `json:\"-\"` leaves it out")
			continue
		}
		f.parseTag(tag)
		if reason, fix := oddTag(tag); reason != "" {
			set.lose(f.path, fix, reason)
			continue
		}
		target, pointer := embedded(v)
		switch {
		case target != nil && !f.tagged:
			set.collectEmbedded(f, target, pointer, depth, around)
		case !v.Exported():
			set.lose(f.path, "pass what the task needs of it in exported fields, or give the struct MarshalJSON and UnmarshalJSON",
				"encoding/json leaves out fields that are not exported")
		default:
			set.fields = append(set.fields, f)
		}
	}
}

func (set *fieldSet) lose(path, fix, reason string) {
	set.lost = append(set.lost, Problem{Path: path, Reason: reason, Fix: fix})
}

// collectEmbedded collects the fields that an embedded struct promotes.
func (set *fieldSet) collectEmbedded(f field, target types.Type, pointer bool, depth int, around map[types.Type]bool) {
	s := target.Underlying().(*types.Struct)
	switch {
	case around[target]:
		set.lose(f.path, "name the field", "it is embedded in itself, where encoding/json stops")
		return
	case pointer && !f.v.Exported():
		set.lose(f.path, "embed it without the pointer, or export the type",
			"encoding/json cannot set an embedded pointer to a type that is not exported")
		return
	case pointer && !anyKey(s):
		set.lose(f.path, "name the field", "a pointer to a struct without fields leaves no trace in the JSON")
		return
	}
	if pointer {
		set.pointers = append(set.pointers, f.path)
	}
	around[target] = true
	set.collect(s, f.path, depth+1, around)
	delete(around, target)
}

// anyKey reports whether the JSON of every value of s has a key.
func anyKey(s *types.Struct) bool {
	for i := range s.NumFields() {
		opts := reflect.StructTag(s.Tag(i)).Get("json")
		if s.Field(i).Exported() && !strings.Contains(opts, ",omit") && !s.Field(i).Embedded() {
			return true
		}
	}
	return false
}

// embedded returns the struct type that v embeds, and whether by a pointer.
func embedded(v *types.Var) (target types.Type, pointer bool) {
	if !v.Embedded() {
		return nil, false
	}
	t := types.Unalias(v.Type())
	if p, ok := t.(*types.Pointer); ok {
		t, pointer = types.Unalias(p.Elem()), true
	}
	if _, ok := t.Underlying().(*types.Struct); !ok {
		return nil, false
	}
	return t, pointer
}

func (f *field) parseTag(tag string) {
	key, opts, _ := strings.Cut(tag, ",")
	if validKey(key) {
		f.key, f.tagged = key, true
	}
	for opt := range strings.SplitSeq(opts, ",") {
		switch opt {
		case "omitempty":
			f.empty = true
		case "omitzero":
			f.zero = true
		case "string":
			f.quoted = quotable(f.v.Type())
		}
	}
}

// oddTag describes a tag that versions of Go read differently.
func oddTag(tag string) (reason, fix string) {
	key, opts, _ := strings.Cut(tag, ",")
	if key != "" && !validKey(key) {
		return "the key " + strconv.Quote(key) + " in its tag is one to Go 1.27 and none to Go 1.26",
			"use a key of letters, digits, spaces, and signs other than quotes, commas and backslashes"
	}
	for opt := range strings.SplitSeq(opts, ",") {
		word := opt[:len(opt)-len(strings.TrimLeftFunc(opt, isWord))]
		switch word {
		case "case", "embed", "format":
			return "Go 1.26 does not know the option " + strconv.Quote(word) + " in its tag", "leave the option out"
		case "omitempty", "omitzero", "string":
			if word != opt {
				return "the option " + strconv.Quote(opt) + " in its tag is one to Go 1.27 and none to Go 1.26",
					"write " + word
			}
		}
	}
	return "", ""
}

func isWord(c rune) bool { return c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) }

// validKey is Go 1.26's rule of encoding/json for a key in a tag: a tag with
// another key is ignored.
func validKey(key string) bool {
	for _, c := range key {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return key != ""
}

// quotable reports whether the option ",string" means something for the type.
func quotable(t types.Type) bool {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsBoolean|types.IsInteger|types.IsFloat|types.IsString) != 0
}

// structure reports faults of a struct's fields.
func (c *checker) structure(s *types.Struct, path string) {
	set := fieldsOf(s)
	for _, p := range set.lost {
		p.Path = path + p.Path
		c.problems = append(c.problems, p)
	}
	for _, f := range set.fields {
		c.field(f, path+f.path)
	}
}

func (c *checker) field(f field, path string) {
	raw := qualified(f.v.Type()) == "encoding/json.RawMessage"
	t := types.Unalias(f.v.Type())
	m := methodsOf(t)
	if p, ok := t.Underlying().(*types.Pointer); ok {
		m = methodsOf(types.Unalias(p.Elem()))
	}
	if f.quoted && m.any() {
		c.report(path, "leave the option out", "the option \",string\" breaks the type's own methods")
		return
	}
	if f.empty && !raw {
		switch t.Underlying().(type) {
		case *types.Slice, *types.Map:
			c.report(path, "use omitzero, which leaves out only nil",
				"omitempty makes an empty %s come back as nil", c.name(t))
		}
	}
	if f.zero && find(t, "IsZero", isZero).there() {
		add(&c.limits.Refused, "a field "+f.v.Name()+" that IsZero calls zero and that is not")
	}
	c.check(f.v.Type(), path)
}

func quote(s string) string { return `"` + s + `"` }
