package wire

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// checkTime says why the time would not come back equal. Package time cuts the
// seconds off a zone offset, which moves the instant.
func checkTime(t time.Time) string {
	if _, offset := t.Zone(); offset%60 != 0 {
		return "has a time whose zone offset has seconds, which RFC 3339 cannot hold"
	}
	return ""
}

// exactChecks say why a value would not come back equal, for types with a few
// values whose text means another value or none. The checks get a pointer.
var exactChecks = map[reflect.Type]func(p any) string{
	timeType: func(p any) string { return checkTime(*p.(*time.Time)) },
	reflect.TypeFor[netip.AddrPort](): func(p any) string {
		if v := *p.(*netip.AddrPort); !v.Addr().IsValid() && v.Port() != 0 {
			return "has a netip.AddrPort with a port and no address, which has no text"
		}
		return ""
	},
	reflect.TypeFor[netip.Prefix](): func(p any) string {
		if v := *p.(*netip.Prefix); !v.IsValid() && v != (netip.Prefix{}) {
			return "has a netip.Prefix that is not valid, which has no text"
		}
		return ""
	},
	reflect.TypeFor[uuid.NullUUID](): func(p any) string {
		if v := *p.(*uuid.NullUUID); !v.Valid && v.UUID != uuid.Nil {
			return "has a uuid.NullUUID that is not valid and holds a UUID, which null does not keep"
		}
		return ""
	},
}

// part lists the checks of a type's values before they are sent. A nil part
// checks nothing.
type part struct {
	check     func(p any) string // of the value itself
	null      bool               // of a pointer: its target may encode itself as null
	key, elem *part              // of a pointer, a slice, an array or a map
	fields    []partField        // of a struct
}

// partField is a field with something to check.
type partField struct {
	index    int
	omitzero bool // it is left out when its IsZero says so
	part     *part
}

// partsOf holds the part of each type checked so far: reflect.Type to *part.
var partsOf sync.Map

func partOf(t reflect.Type) *part {
	if p, ok := partsOf.Load(t); ok {
		return p.(*part)
	}
	p, _ := partsOf.LoadOrStore(t, parter{}.part(t))
	return p.(*part)
}

// inexact says why v would not come back equal although encoding/json wrote
// it. nulls says that its JSON contains a null.
func (p *part) inexact(v reflect.Value, nulls bool) string {
	if p == nil {
		return ""
	}
	if p.check != nil {
		if !v.CanInterface() {
			return "" // not encoded
		}
		return p.check(addressable(v).Interface())
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		if p.null && nulls && v.CanInterface() && writesNull(v) {
			return "has a pointer to a " + valueType(v.Type()) + " that encodes itself as null, which comes back as a nil pointer"
		}
		return p.elem.inexact(v.Elem(), nulls)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if reason := p.elem.inexact(v.Index(i), nulls); reason != "" {
				return reason
			}
		}
	case reflect.Map:
		for key, elem := range v.Seq2() {
			if reason := p.key.inexact(key, nulls); reason != "" {
				return reason
			}
			if reason := p.elem.inexact(elem, nulls); reason != "" {
				return reason
			}
		}
	case reflect.Struct:
		for _, f := range p.fields {
			field := v.Field(f.index)
			if f.omitzero && leftOut(field) {
				return "has a field " + v.Type().Field(f.index).Name +
					" that omitzero leaves out, since its IsZero says so, but that is not the zero value"
			}
			if reason := f.part.inexact(field, nulls); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// writesNull reports whether the pointer's target encodes itself as null.
func writesNull(v reflect.Value) bool {
	b, err := json.Marshal(v.Interface())
	return err == nil && string(b) == "null"
}

// leftOut reports whether a field with omitzero is left out although it would
// come back as another value.
func leftOut(v reflect.Value) bool {
	if !v.CanInterface() || v.IsZero() {
		return false
	}
	if t, ok := v.Interface().(time.Time); ok {
		_, offset := t.Zone()
		return t.IsZero() && offset != 0
	}
	z, ok := v.Interface().(isZeroer)
	if !ok {
		z, ok = addressable(v).Interface().(isZeroer)
	}
	return ok && z.IsZero()
}

// addressable returns a pointer to v, or to a copy of it.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p
}

// parter makes the part of each type once, since types may be recursive.
type parter map[reflect.Type]*part

func (b parter) part(t reflect.Type) *part {
	if p, ok := b[t]; ok {
		return p
	}
	if !toCheck(t, map[reflect.Type]bool{}) {
		return nil
	}
	p := &part{check: exactChecks[t]}
	b[t] = p
	if p.check != nil {
		return p
	}
	switch t.Kind() {
	case reflect.Pointer:
		p.null = mayBeNull(t)
		p.elem = b.part(t.Elem())
	case reflect.Slice, reflect.Array:
		p.elem = b.part(t.Elem())
	case reflect.Map:
		p.key, p.elem = b.part(t.Key()), b.part(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			f := partField{index: i, omitzero: asksIsZero(t.Field(i)), part: b.part(t.Field(i).Type)}
			if f.omitzero || f.part != nil && t.Field(i).Tag.Get("json") != "-" {
				p.fields = append(p.fields, f)
			}
		}
	}
	return p
}

// toCheck reports whether values of type t have something to check.
func toCheck(t reflect.Type, seen map[reflect.Type]bool) bool {
	if exactChecks[t] != nil || mayBeNull(t) {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	if encodesItself(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Map:
		return toCheck(t.Key(), seen) || toCheck(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return toCheck(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if asksIsZero(f) || toCheck(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// encodesItself reports whether a method of type t, which is no pointer,
// writes its values. A method that t has only from an embedded field does not
// count.
func encodesItself(t reflect.Type) bool {
	switch {
	case t.Kind() == reflect.Pointer, t.Kind() == reflect.Struct && t.NumField() == 1 && t.Field(0).Anonymous:
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(marshalerType) || p.Implements(textMarshalerType) || streams(p)
}

// streams reports whether the type has the writing method of encoding/json/v2,
// which Go 1.26 does not know.
func streams(t reflect.Type) bool {
	_, ok := t.MethodByName("MarshalJSONTo")
	return ok
}

// mayBeNull reports whether t is a pointer to a type that encodes itself as
// JSON, perhaps as null. A time never does.
func mayBeNull(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Elem() != timeType && (t.Implements(marshalerType) || streams(t))
}

// isZeroer has the method that encoding/json calls for a field with omitzero.
type isZeroer interface{ IsZero() bool }

var isZeroerType = reflect.TypeFor[isZeroer]()

// asksIsZero reports whether encoding/json leaves the field out if the IsZero
// of its type says so.
func asksIsZero(f reflect.StructField) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || !reflect.PointerTo(f.Type).Implements(isZeroerType) && !f.Type.Implements(isZeroerType) {
		return false
	}
	for option := range strings.SplitSeq(options, ",") {
		if option == "omitzero" {
			return true
		}
	}
	return false
}
