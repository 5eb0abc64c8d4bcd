package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// fingerprints holds the fingerprints made so far: reflect.Type to string.
var fingerprints sync.Map

// Fingerprint returns a short text for the shape of the type's values in JSON,
// as taskgen writes one for each parameter. Types of one fingerprint read each
// other's values. The names of structs, before a colon, do not count.
func Fingerprint(t reflect.Type) string {
	if f, ok := fingerprints.Load(t); ok {
		return f.(string)
	}
	f := new(outliner).outline(t, true)
	fingerprints.Store(t, f)
	return f
}

// outliner writes the outlines of types. Within a struct only a hash counts.
type outliner struct {
	around []reflect.Type // the structs around the current type
}

func (o *outliner) outline(t reflect.Type, top bool) string {
	if marshalsItself(t) {
		return t.String()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + o.outline(t.Elem(), top)
	case reflect.Slice:
		if elem := o.outline(t.Elem(), top); elem != "uint8" {
			return "[]" + elem
		}
		return "[]byte"
	case reflect.Array:
		return "[" + strconv.Itoa(t.Len()) + "]" + o.outline(t.Elem(), top)
	case reflect.Map:
		return "map[" + o.outline(t.Key(), top) + "]" + o.outline(t.Elem(), top)
	case reflect.Struct:
		if i := slices.Index(o.around, t); i >= 0 {
			return "^" + strconv.Itoa(len(o.around)-i)
		}
		sum := sha256.Sum256([]byte(o.structure(t)))
		hash := hex.EncodeToString(sum[:4])
		if !top {
			return "#" + hash
		}
		return nameOfStruct(t) + ":" + hash
	case reflect.Interface:
		return "any"
	}
	return t.Kind().String()
}

// marshalsItself reports whether the type writes its own JSON.
func marshalsItself(t reflect.Type) bool {
	if t.Name() == "" || t.Kind() == reflect.Interface {
		return false
	}
	for _, m := range []reflect.Type{t, reflect.PointerTo(t)} {
		if m.Implements(marshalerType) || m.Implements(textMarshalerType) || m.Implements(unmarshalerType) ||
			m.Implements(textUnmarshalerType) || reads(m) || streams(m) {
			return true
		}
	}
	return false
}

// nameOfStruct returns the name of a struct's type, without its package and
// arguments.
func nameOfStruct(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	if name == "" {
		return "struct"
	}
	return name
}

// structure writes the keys of a struct, sorted, with the outlines of their
// values.
func (o *outliner) structure(t reflect.Type) string {
	o.around = append(o.around, t)
	defer func() { o.around = o.around[:len(o.around)-1] }()
	var members []string
	for _, f := range reflect.VisibleFields(t) {
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		target := f.Type
		if f.Anonymous && target.Kind() == reflect.Pointer {
			target = target.Elem()
		}
		switch {
		case f.Tag.Get("json") == "-", !f.IsExported(), !plainly(t, f.Index):
			continue
		case f.Anonymous && key == "" && target.Kind() == reflect.Struct && !marshalsItself(target):
			continue // its fields follow
		case key == "":
			key = f.Name
		}
		member := fmt.Sprintf("%q:%s", key, o.outline(f.Type, false))
		if slices.Contains(strings.Split(options, ","), "string") {
			member += ",string"
		}
		members = append(members, member)
	}
	slices.Sort(members)
	return "{" + strings.Join(members, ";") + "}"
}

// plainly reports whether the JSON of a field stands in that of the struct t
// itself: none of the embedded structs on the way to it has a key, or writes
// its own JSON.
func plainly(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key != "" {
			return false
		}
		if t = f.Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if marshalsItself(t) {
			return false
		}
	}
	return true
}
