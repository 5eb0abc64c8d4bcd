package wire

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// shape describes misfits that encoding/json silently accepts in the JSON of a
// Go type: keys in another case or of no field, null where there is no nil,
// arrays too long or too short. A nil shape allows everything.
type shape struct {
	null   bool              // may be null
	target *shape            // of a pointer
	elem   *shape            // of a slice, an array or a map
	length int               // of an array, else -1
	fields map[string]*shape // of a struct, by key
}

// shapes holds the shape of each pointer type's target, for the types seen so
// far: reflect.Type to *shape.
var shapes sync.Map

// shapeOf returns the shape of p's target.
func shapeOf(p any) *shape {
	t := reflect.TypeOf(p)
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	if t == nil || t.Kind() != reflect.Pointer {
		return nil
	}
	s, _ := shapes.LoadOrStore(t, shaper{}.shape(t.Elem()))
	return s.(*shape)
}

var (
	timeType            = reflect.TypeFor[time.Time]()
	marshalerType       = reflect.TypeFor[json.Marshaler]()
	textMarshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shaper makes the shape of each type once, since types may be recursive.
type shaper map[reflect.Type]*shape

func (b shaper) shape(t reflect.Type) *shape {
	if s, ok := b[t]; ok {
		return s
	}
	pointer := reflect.PointerTo(t)
	if t != timeType && (t.Kind() == reflect.Interface || pointer.Implements(unmarshalerType) || reads(pointer)) {
		return nil // it checks itself
	}
	s := &shape{length: -1}
	b[t] = s
	if t.Kind() != reflect.Pointer && (t == timeType || pointer.Implements(textUnmarshalerType)) {
		return s // a string
	}
	switch t.Kind() {
	case reflect.Pointer:
		s.null = true
		s.target = b.shape(t.Elem())
	case reflect.Slice, reflect.Map:
		s.null = true
		s.elem = b.shape(t.Elem())
	case reflect.Array:
		s.length = t.Len()
		s.elem = b.shape(t.Elem())
	case reflect.Struct:
		s.fields = map[string]*shape{}
		b.fields(s.fields, t, map[reflect.Type]bool{})
	}
	return s
}

// fields adds the keys of a struct and of the structs that it embeds. If
// several fields have the same key, encoding/json takes one at most; any value
// will do there.
func (b shaper) fields(into map[string]*shape, t reflect.Type, around map[reflect.Type]bool) {
	around[t] = true
	defer delete(around, t)
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		key, options, _ := strings.Cut(tag, ",")
		target := f.Type
		if target.Kind() == reflect.Pointer {
			target = target.Elem()
		}
		embedded := f.Anonymous && target.Kind() == reflect.Struct
		if key != "" && !validKey(key) {
			key = keyOf(tag)
		}
		switch {
		case tag == "-", !f.IsExported() && !embedded:
			continue
		case embedded && key == "":
			if !around[target] {
				b.fields(into, target, around)
			}
			continue
		case key == "":
			key = f.Name
		}
		_, twice := into[key]
		if twice || strings.Contains(options, "string") {
			into[key] = nil
		} else {
			into[key] = b.shape(f.Type)
		}
	}
}

// reads reports whether the type has the reading method of encoding/json/v2,
// which Go 1.26 does not know.
func reads(t reflect.Type) bool {
	_, ok := t.MethodByName("UnmarshalJSONFrom")
	return ok
}

// keyOf returns the key that encoding/json makes of a tag with a key that
// validKey does not know, "" if it ignores that: this depends on the version
// of Go.
func keyOf(tag string) string {
	const name = "A"
	typ := reflect.StructOf([]reflect.StructField{{
		Name: name, Type: reflect.TypeFor[int](), Tag: reflect.StructTag("json:" + strconv.Quote(tag)),
	}})
	v := reflect.New(typ)
	v.Elem().Field(0).SetInt(1) // so that no option leaves it out
	b, err := json.Marshal(v.Interface())
	var members map[string]json.RawMessage
	if err != nil || json.Unmarshal(b, &members) != nil {
		return ""
	}
	for key := range members {
		if key != name {
			return key
		}
	}
	return ""
}

// validKey is Go 1.26's rule of encoding/json for a key in a tag; it ignores
// any other.
func validKey(key string) bool {
	for _, c := range key {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return key != ""
}

// field returns the shape of the member with the key. lenient allows keys of
// no field, except those that encoding/json takes for another field's.
func (s *shape) field(key []byte, lenient bool) (f *shape, bad string) {
	f, ok := s.fields[string(key)]
	if ok {
		return f, ""
	}
	for name := range s.fields {
		if strings.EqualFold(name, string(key)) {
			return nil, "contains a key that differs from a field's only in case"
		}
	}
	if lenient {
		return nil, ""
	}
	return nil, "contains a key that no field has"
}
