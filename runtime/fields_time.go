package runtime

import (
	"reflect"
	"sync"
	"time"
)

// checkTime says why the time would not come back equal. package time cuts the
// seconds off a zone offset, which moves the instant.
func checkTime(t time.Time) string {
	if _, offset := t.Zone(); offset%60 != 0 {
		return "has a time whose zone offset has seconds, which RFC 3339 cannot hold"
	}
	return ""
}

// checkTimes is checkTime for every time in a value that encoding/json encodes.
func checkTimes(v reflect.Value) string {
	if !v.IsValid() || !hasTime(v.Type()) {
		return ""
	}
	switch v.Kind() {
	case reflect.Pointer:
		return checkTimes(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if reason := checkTimes(v.Index(i)); reason != "" {
				return reason
			}
		}
	case reflect.Map:
		for _, elem := range v.Seq2() {
			if reason := checkTimes(elem); reason != "" {
				return reason
			}
		}
	case reflect.Struct:
		if v.Type() == timeType {
			if !v.CanInterface() {
				return "" // not encoded
			}
			return checkTime(v.Interface().(time.Time))
		}
		for field, f := range v.Fields() {
			if field.Tag.Get("json") == "-" {
				continue
			}
			if reason := checkTimes(f); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// withTime says for each type that was asked for, by reflect.Type, whether
// there is a time.Time in it.
var withTime sync.Map

func hasTime(t reflect.Type) bool {
	if has, ok := withTime.Load(t); ok {
		return has.(bool)
	}
	has := findTime(t, map[reflect.Type]bool{})
	withTime.Store(t, has)
	return has
}

func findTime(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == timeType {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	if t.Implements(marshalerType) || t.Implements(textMarshalerType) {
		switch {
		case t.Kind() == reflect.Pointer:
		case t.Kind() == reflect.Struct && t.NumField() == 1 && t.Field(0).Anonymous:
		default:
			return false // it encodes its times itself
		}
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return findTime(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if findTime(f.Type, seen) {
				return true
			}
		}
	}
	return false
}
