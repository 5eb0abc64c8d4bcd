package wiretype

import (
	"go/types"
	"slices"
	"strings"
)

// Form is the form that values have in JSON.
type Form int

// The forms.
const (
	FormFree    Form = iota // any JSON: json.RawMessage, and what encodes itself as it likes
	FormBool                // true or false
	FormString              // a string
	FormText                // a string that the type writes and reads: Shape.Go names it
	FormInteger             // a number without a fraction, of Shape.Bits
	FormBig                 // an integer of any size
	FormFloat               // a number
	FormBytes               // a string in base64
	FormTime                // a string as of RFC 3339
	FormNanos               // time.Duration: an integer, nanoseconds
	FormUUID                // a string of a UUID
	FormList                // an array of Elem, of Len if that is not negative
	FormMap                 // an object with keys of Key, and values of Elem
	FormStruct              // an object with Fields
)

// Shape is what the JSON of a type's values looks like, for schemas and clients
// in other languages.
type Shape struct {
	Form Form
	// Null: null is a value too, as of a pointer, a slice and a map.
	Null bool
	// Quoted: a string holds the number or the bool: the option ",string".
	Quoted   bool
	Bits     int
	Unsigned bool
	Key      *Shape
	Elem     *Shape
	Len      int64
	Fields   []ShapeField
	// Go is the type's name in Go, with its package's; "" if it has none.
	Go string
	// Type is that of a struct, and of any type that refers to itself: its shape
	// is to be written once, under a name. In a part of itself it has no fields.
	Type types.Type
}

// ShapeField is one key of a struct.
type ShapeField struct {
	Key string
	*Shape
	// Optional: the key may be missing.
	Optional bool
}

// ShapeOf returns the shape of a type that Check accepts. Structs that refer to
// themselves have themselves as parts.
func ShapeOf(t types.Type) *Shape { return shapes{}.of(t) }

// shapes are those of the types with parts that were met.
type shapes map[types.Type]*Shape

// byName are the shapes of types whose declaration does not show it.
var byName = map[string]Shape{
	"time.Time":                   {Form: FormTime},
	"time.Duration":               {Form: FormNanos, Bits: 64},
	"encoding/json.RawMessage":    {Form: FormFree},
	"math/big.Int":                {Form: FormBig},
	"uuid.UUID":                   {Form: FormUUID},
	"github.com/google/uuid.UUID": {Form: FormUUID},
	"github.com/google/uuid.NullUUID": {
		Form: FormUUID, Null: true,
	},
	"log/slog.Level": {Form: FormText},
}

func (s shapes) of(t types.Type) *Shape {
	q := qualified(t)
	if known, ok := byName[q]; ok {
		known.Go = short(q)
		return &known
	}
	t = types.Unalias(t)
	if p, ok := t.Underlying().(*types.Pointer); ok {
		elem := *s.of(p.Elem())
		elem.Null = true
		return &elem
	}
	if m := methodsOf(t); m.any() {
		shape := &Shape{Form: FormFree, Go: goName(t)}
		if !m.json() {
			shape.Form = FormText
		}
		return shape
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return basicShape(u)
	case *types.Struct:
		return s.structure(t, u)
	}
	if shape := s.known(t); shape != nil {
		shape.Type = t
		return shape
	}
	shape := &Shape{Go: goName(t)}
	s[t] = shape
	s.composite(t, shape)
	return shape
}

// known returns the shape of a type that was met.
func (s shapes) known(t types.Type) *Shape {
	for other, shape := range s {
		if types.Identical(other, t) {
			return shape
		}
	}
	return nil
}

// composite completes the shape of a slice, an array or a map.
func (s shapes) composite(t types.Type, shape *Shape) {
	switch u := t.Underlying().(type) {
	case *types.Slice:
		elem := s.of(u.Elem())
		if b, ok := types.Unalias(u.Elem()).Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 && elem.Form == FormInteger {
			shape.Form, shape.Null = FormBytes, true
			return
		}
		shape.Null = true
		shape.Form, shape.Elem, shape.Len = FormList, elem, -1
	case *types.Array:
		shape.Form, shape.Elem, shape.Len = FormList, s.of(u.Elem()), u.Len()
	case *types.Map:
		shape.Null = true
		shape.Form, shape.Key, shape.Elem = FormMap, s.of(u.Key()), s.of(u.Elem())
	}
}

func goName(t types.Type) string {
	n, ok := t.(*types.Named)
	if !ok {
		return ""
	}
	return types.TypeString(n, (*types.Package).Name)
}

func basicShape(b *types.Basic) *Shape {
	switch {
	case b.Info()&types.IsBoolean != 0:
		return &Shape{Form: FormBool}
	case b.Info()&types.IsString != 0:
		return &Shape{Form: FormString}
	case b.Info()&types.IsFloat != 0:
		return &Shape{Form: FormFloat}
	case b.Info()&types.IsInteger != 0:
		return &Shape{Form: FormInteger, Bits: bitsOf[b.Kind()], Unsigned: b.Info()&types.IsUnsigned != 0}
	}
	return &Shape{Form: FormFree}
}

var bitsOf = map[types.BasicKind]int{
	types.Int8: 8, types.Int16: 16, types.Int32: 32, types.Int64: 64, types.Int: 64,
	types.Uint8: 8, types.Uint16: 16, types.Uint32: 32, types.Uint64: 64, types.Uint: 64,
}

func (s shapes) structure(t types.Type, u *types.Struct) *Shape {
	if shape := s.known(t); shape != nil {
		return shape
	}
	shape := &Shape{Form: FormStruct, Go: goName(t), Type: t}
	s[t] = shape
	set := fieldsOf(u)
	for _, f := range set.fields {
		part := *s.of(f.v.Type())
		part.Quoted = f.quoted
		shape.Fields = append(shape.Fields, ShapeField{
			Key: f.key, Shape: &part, Optional: f.empty || f.zero || set.behindPointer(f),
		})
	}
	return shape
}

// behindPointer reports whether a field is promoted through an embedded pointer:
// its key is missing where that is nil.
func (set *fieldSet) behindPointer(f field) bool {
	return slices.ContainsFunc(set.pointers, func(path string) bool { return strings.HasPrefix(f.path, path+".") })
}
