package wire

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Losses says how values of a type come back from JSON, as far as the type shows
// it. Types that encode themselves are trusted.
type Losses struct {
	// Lost is why no value of the type comes back as it was, with the path to the
	// part at fault, empty if there is no such part.
	Lost string
	// Altered: some values come back as others, such as a number in an any.
	Altered bool
}

// lossesOf holds those of the types asked for so far: reflect.Type to *Losses.
var lossesOf sync.Map

// LossesOf returns what JSON loses of the type's values. taskgen refuses such
// types in the signatures of tasks; the types of steps and signals it does not
// see.
func LossesOf(t reflect.Type) *Losses {
	if l, ok := lossesOf.Load(t); ok {
		return l.(*Losses)
	}
	f := lossFinder{seen: map[reflect.Type]bool{}}
	f.find(t, "")
	l, _ := lossesOf.LoadOrStore(t, &f.losses)
	return l.(*Losses)
}

// lossFinder looks at each type once, since types may be recursive.
type lossFinder struct {
	losses Losses
	seen   map[reflect.Type]bool
}

func (f *lossFinder) lose(path, format string, args ...any) {
	if f.losses.Lost != "" {
		return
	}
	f.losses.Lost = fmt.Sprintf(format, args...)
	if path != "" {
		f.losses.Lost = strings.TrimPrefix(path, ".") + ": " + f.losses.Lost
	}
}

func (f *lossFinder) find(t reflect.Type, path string) {
	if f.seen[t] || marshalsItself(t) {
		return
	}
	f.seen[t] = true
	switch t.Kind() {
	case reflect.Chan:
		f.lose(path, "JSON has no channels")
	case reflect.Func:
		f.lose(path, "JSON has no functions")
	case reflect.Complex64, reflect.Complex128:
		f.lose(path, "JSON has no complex numbers")
	case reflect.UnsafePointer, reflect.Uintptr:
		f.lose(path, "%s is an address, which means nothing in another process", t)
	case reflect.Interface:
		if f.losses.Altered = true; t.NumMethod() > 0 {
			f.lose(path, "%s is an interface: JSON does not keep which type was in it", t)
		}
	case reflect.Map:
		f.key(t.Key(), path+"[key]")
		f.find(t.Elem(), path+"[]")
	case reflect.Slice, reflect.Array:
		f.find(t.Elem(), path+"[]")
	case reflect.Pointer:
		f.find(t.Elem(), path)
	case reflect.Struct:
		f.structure(t, path)
	}
}

// key looks at the keys of a map.
func (f *lossFinder) key(t reflect.Type, path string) {
	switch kind := t.Kind(); {
	case marshalsItself(t), kind == reflect.String, kind != reflect.Uintptr && kind >= reflect.Int && kind <= reflect.Uint64:
	default:
		f.lose(path, "JSON has no keys of type %s", t)
	}
}

func (f *lossFinder) structure(t reflect.Type, path string) {
	for field := range t.Fields() {
		at, tag := path+"."+field.Name, field.Tag.Get("json")
		target := field.Type
		if target.Kind() == reflect.Pointer {
			target = target.Elem()
		}
		key, options, _ := strings.Cut(tag, ",")
		switch promoted := field.Anonymous && target.Kind() == reflect.Struct && key == ""; {
		case field.Name == "_":
			continue
		case tag == "-":
			f.lose(at, "the tag `json:\"-\"` leaves it out")
			continue
		case promoted && !field.IsExported() && field.Type.Kind() == reflect.Pointer:
			f.lose(at, "encoding/json cannot set an embedded pointer to a type that is not exported")
			continue
		case !field.IsExported() && !promoted:
			f.lose(at, "encoding/json leaves out fields that are not exported")
			continue
		}
		if kind := field.Type.Kind(); kind == reflect.Slice || kind == reflect.Map {
			f.losses.Altered = f.losses.Altered || strings.Contains(options, "omitempty") // an empty one comes back as nil
		}
		f.find(field.Type, at)
	}
}
