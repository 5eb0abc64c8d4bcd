package runtime

import (
	"encoding"
	"encoding/json"
	"reflect"
	"unicode/utf8"
)

// inexact says where v holds a string that encoding/json does not keep. It is
// asked only about values whose JSON has U+FFFD as an escape.
func inexact(v reflect.Value, depth int) string {
	const notUTF8 = "contains a string that is not valid UTF-8"
	if depth > maxDepth || !v.IsValid() {
		return ""
	}
	if reason, done := inexactMarshaler(v); done {
		return reason
	}
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return notUTF8
		}
	case reflect.Pointer, reflect.Interface:
		return inexact(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if reason := inexact(v.Index(i), depth+1); reason != "" {
				return reason
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if reason := inexact(it.Key(), depth+1); reason != "" {
				return reason
			}
			if reason := inexact(it.Value(), depth+1); reason != "" {
				return reason
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() && !field.Anonymous || field.Tag.Get("json") == "-" {
				continue
			}
			if reason := inexact(v.Field(i), depth+1); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// inexactMarshaler is inexact for values that encode themselves; done says
// that v is one.
func inexactMarshaler(v reflect.Value) (reason string, done bool) {
	if !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil() {
		return "", !v.CanInterface()
	}
	if v.Kind() != reflect.Pointer && v.CanAddr() {
		v = v.Addr()
	}
	switch m := v.Interface().(type) {
	case *json.RawMessage, json.RawMessage:
		return "", true
	case json.Marshaler:
		b, err := m.MarshalJSON()
		var check jsonChecker
		check.reset(b)
		if _, bad := check.value(0, nil); err != nil || bad != "" || check.replaced {
			return "the JSON of " + valueType(v.Type()) + " holds a string that was not valid UTF-8", true
		}
		return "", true
	case encoding.TextMarshaler:
		if b, err := m.MarshalText(); err != nil || !utf8.Valid(b) {
			return "the text of " + valueType(v.Type()) + " is not valid UTF-8", true
		}
		return "", true
	}
	return "", false
}
