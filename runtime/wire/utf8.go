package wire

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"unicode/utf8"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// notUTF8 says where v holds a string that encoding/json does not keep. It is
// called only for values whose JSON has U+FFFD.
func notUTF8(v reflect.Value, depth int) string {
	if depth > maxDepth || !v.IsValid() {
		return ""
	}
	if reason, done := notUTF8Marshaler(v); done {
		return reason
	}
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return jsontext.BadUTF8
		}
	case reflect.Pointer, reflect.Interface:
		return notUTF8(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if reason := notUTF8(v.Index(i), depth+1); reason != "" {
				return reason
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if reason := notUTF8(it.Key(), depth+1); reason != "" {
				return reason
			}
			if reason := notUTF8(it.Value(), depth+1); reason != "" {
				return reason
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() && !field.Anonymous || field.Tag.Get("json") == "-" {
				continue
			}
			if reason := notUTF8(v.Field(i), depth+1); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// notUTF8Marshaler is notUTF8 for values that encode themselves; done reports
// that v is one.
func notUTF8Marshaler(v reflect.Value) (reason string, done bool) {
	if !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil() {
		return "", !v.CanInterface()
	}
	if v.Kind() != reflect.Pointer && v.CanAddr() {
		v = v.Addr()
	}
	switch m := v.Interface().(type) {
	case *json.RawMessage:
		return badRaw(*m), true
	case json.RawMessage:
		return badRaw(m), true
	case json.Marshaler:
		return changed(v), true
	case encoding.TextMarshaler:
		if streams(v.Type()) {
			return changed(v), true
		}
		if b, err := m.MarshalText(); err != nil || !utf8.Valid(b) {
			return "the text of " + valueType(v.Type()) + " is not valid UTF-8", true
		}
		return "", true
	}
	if streams(v.Type()) {
		return changed(v), true
	}
	return "", false
}

// badRaw says what encoding/json changes in raw JSON, which it writes by its
// method.
func badRaw(raw json.RawMessage) string {
	if len(raw) == 0 { // left out by omitempty, or written as null
		return ""
	}
	var c checker
	c.reset(raw)
	_, bad := c.value(c.space(0), nil)
	return bad
}

// changed says that a self-encoding value does not come back equal: its method
// may write the same text for a string that is not UTF-8 as for another
// string. One whose own JSON has no U+FFFD has no such string, even if it is
// not deeply equal, as a time in a zone.
func changed(v reflect.Value) string {
	if v.Kind() != reflect.Pointer {
		v = addressable(v)
	}
	back := reflect.New(v.Type().Elem())
	b, err := json.Marshal(v.Interface())
	if err == nil && !replaced(b) {
		return ""
	}
	if err == nil && json.Unmarshal(b, back.Interface()) == nil && reflect.DeepEqual(v.Interface(), back.Interface()) {
		return ""
	}
	return "the JSON of " + valueType(v.Type()) + " holds a string that was not valid UTF-8"
}

// replaced reports whether JSON may hold a string with U+FFFD.
func replaced(b []byte) bool {
	return bytes.Contains(b, []byte("\ufffd")) || bytes.Contains(bytes.ToLower(b), []byte(`\ufffd`))
}
