package typetable

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// maxShown keeps a value from filling the table, in characters.
const maxShown = 120

// show prints a value the same way each time: pointers by their targets, and
// values in interfaces with their types.
func show(v reflect.Value) string {
	var b strings.Builder
	write(&b, v, 0)
	if text := []rune(b.String()); len(text) > maxShown {
		return string(text[:maxShown]) + "..."
	}
	return b.String()
}

func write(b *strings.Builder, v reflect.Value, depth int) {
	if !v.IsValid() {
		b.WriteString("nil")
		return
	}
	if depth > 4 {
		b.WriteString("...")
		return
	}
	if v.Kind() != reflect.Interface && v.CanInterface() && writeKnown(b, v.Interface()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			b.WriteString("&")
		}
		write(b, v.Elem(), depth+1)
	case reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		b.WriteString(v.Elem().Type().String() + "(")
		write(b, v.Elem(), depth+1)
		b.WriteString(")")
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			b.WriteString("nil")
			return
		}
		b.WriteString("[")
		for i := range v.Len() {
			separate(b, i)
			write(b, v.Index(i), depth+1)
		}
		b.WriteString("]")
	case reflect.Map:
		writeMap(b, v, depth)
	case reflect.Struct:
		b.WriteString("{")
		i := 0
		for f, field := range v.Fields() {
			if !f.IsExported() && f.Type.PkgPath() == "sync" {
				continue
			}
			separate(b, i)
			b.WriteString(f.Name + ":")
			write(b, field, depth+1)
			i++
		}
		b.WriteString("}")
	case reflect.String:
		b.WriteString(strconv.Quote(v.String()))
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		if v.IsNil() {
			b.WriteString("nil")
		} else {
			b.WriteString("a " + v.Kind().String())
		}
	case reflect.Bool:
		fmt.Fprint(b, v.Bool())
	case reflect.Float32, reflect.Float64:
		fmt.Fprint(b, v.Float())
	case reflect.Complex64, reflect.Complex128:
		fmt.Fprint(b, v.Complex())
	default:
		fmt.Fprint(b, v)
	}
}

func writeMap(b *strings.Builder, v reflect.Value, depth int) {
	if v.IsNil() {
		b.WriteString("nil")
		return
	}
	if v.Len() > 1 {
		fmt.Fprintf(b, "map of %d", v.Len())
		return
	}
	b.WriteString("map[")
	for key, elem := range v.Seq2() {
		write(b, key, depth+1)
		b.WriteString(":")
		write(b, elem, depth+1)
	}
	b.WriteString("]")
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString(" ")
	}
}

// writeKnown writes types whose parts say less than their text.
func writeKnown(b *strings.Builder, v any) bool {
	switch v := v.(type) {
	case json.RawMessage:
		if v == nil {
			return false
		}
		b.Write(v)
	case time.Time:
		b.WriteString(v.Format(time.RFC3339Nano))
	case *big.Float:
		if v == nil {
			return false
		}
		fmt.Fprintf(b, "%s (precision %d)", v.Text('g', -1), v.Prec())
	case big.Int:
		b.WriteString(v.String())
	default:
		return false
	}
	return true
}

// rootCause is the part of the error that says what is wrong with the value.
func rootCause(err error) string {
	if task := new(runtime.TaskError); errors.As(err, &task) {
		return task.Reason
	}
	text := strings.TrimPrefix(err.Error(), "enqueue ")
	if _, after, ok := strings.Cut(text, ": "); ok { // the task's name
		text = after
	}
	return text
}
