package wire

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"
)

// Layout says how to list the fields of a struct, one for each parameter, in
// order. Generated code writes arguments itself, by the method of [Fields] for
// their type; here the same method reads them.
type Layout []layoutField

type layoutField struct {
	name   string // of the parameter
	offset uintptr
	visit  func(f *Fields, name string, p unsafe.Pointer)
}

// LayoutOf returns the layout of a struct.
func LayoutOf(args reflect.Type, params []Param) (Layout, error) {
	if args.Kind() != reflect.Struct || args.NumField() != len(params) {
		return nil, fmt.Errorf("%s has not a field for each of %d parameters", args, len(params))
	}
	l := make(Layout, len(params))
	for i := range l {
		field := args.Field(i)
		l[i] = layoutField{params[i].Name, field.Offset, visitorOf(field.Type)}
		if params[i].Inline {
			l[i].visit = inlineVisitor(field.Type)
		}
	}
	return l, nil
}

// List lists the fields of the struct that p points to.
func (l Layout) List(f *Fields, p unsafe.Pointer) {
	for i := range l {
		l[i].visit(f, l[i].name, unsafe.Add(p, l[i].offset))
	}
}

// visitorOf returns a function that calls the method of Fields for a type,
// with a pointer to a value of it. A type that encodes or validates itself is
// visited as JSON, so that its methods are found.
func visitorOf(t reflect.Type) func(*Fields, string, unsafe.Pointer) {
	if t == timeType {
		return func(f *Fields, name string, p unsafe.Pointer) { f.Time(name, (*time.Time)(p)) }
	}
	if basic := basicVisitors[t.Kind()]; basic != nil && !hasOwnForm(reflect.PointerTo(t)) {
		return basic
	}
	return func(f *Fields, name string, p unsafe.Pointer) { f.JSON(name, reflect.NewAt(t, p).Interface()) }
}

func inlineVisitor(t reflect.Type) func(*Fields, string, unsafe.Pointer) {
	return func(f *Fields, name string, p unsafe.Pointer) { f.Inline(name, reflect.NewAt(t, p).Interface()) }
}

var basicVisitors = map[reflect.Kind]func(*Fields, string, unsafe.Pointer){
	reflect.Bool:    func(f *Fields, name string, p unsafe.Pointer) { f.Bool(name, (*bool)(p)) },
	reflect.String:  func(f *Fields, name string, p unsafe.Pointer) { f.String(name, (*string)(p)) },
	reflect.Int:     func(f *Fields, name string, p unsafe.Pointer) { f.Int(name, (*int)(p)) },
	reflect.Int8:    func(f *Fields, name string, p unsafe.Pointer) { f.Int8(name, (*int8)(p)) },
	reflect.Int16:   func(f *Fields, name string, p unsafe.Pointer) { f.Int16(name, (*int16)(p)) },
	reflect.Int32:   func(f *Fields, name string, p unsafe.Pointer) { f.Int32(name, (*int32)(p)) },
	reflect.Int64:   func(f *Fields, name string, p unsafe.Pointer) { f.Int64(name, (*int64)(p)) },
	reflect.Uint:    func(f *Fields, name string, p unsafe.Pointer) { f.Uint(name, (*uint)(p)) },
	reflect.Uint8:   func(f *Fields, name string, p unsafe.Pointer) { f.Uint8(name, (*uint8)(p)) },
	reflect.Uint16:  func(f *Fields, name string, p unsafe.Pointer) { f.Uint16(name, (*uint16)(p)) },
	reflect.Uint32:  func(f *Fields, name string, p unsafe.Pointer) { f.Uint32(name, (*uint32)(p)) },
	reflect.Uint64:  func(f *Fields, name string, p unsafe.Pointer) { f.Uint64(name, (*uint64)(p)) },
	reflect.Float32: func(f *Fields, name string, p unsafe.Pointer) { f.Float32(name, (*float32)(p)) },
	reflect.Float64: func(f *Fields, name string, p unsafe.Pointer) { f.Float64(name, (*float64)(p)) },
}

// hasOwnForm reports whether values behind this type of pointer encode, decode or
// validate themselves.
func hasOwnForm(p reflect.Type) bool {
	for _, i := range []reflect.Type{marshalerType, unmarshalerType, textMarshalerType, textUnmarshalerType, validatorType} {
		if p.Implements(i) {
			return true
		}
	}
	return streams(p) || reads(p)
}
