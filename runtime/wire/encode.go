package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// Marshal returns the arguments that args lists as one JSON object. A nil
// args lists none.
func Marshal(args func(*Fields)) (json.RawMessage, error) {
	if args == nil {
		return json.RawMessage("{}"), nil
	}
	f := Encode()
	args(f)
	return f.Payload()
}

// Payload returns the listed arguments as JSON, and gives f back.
func (f *Fields) Payload() (json.RawMessage, error) {
	f.buf = append(f.buf, '}')
	return f.finishEncode()
}

// finishEncode returns a copy of the written JSON, or the error, and gives f
// back.
func (f *Fields) finishEncode() (json.RawMessage, error) {
	defer f.release()
	if err := f.result(); err != nil {
		return nil, err
	}
	if len(f.buf) == 0 {
		return nil, nil // a Void
	}
	payload := make(json.RawMessage, len(f.buf))
	copy(payload, f.buf)
	return payload, nil
}

// key returns the text before the value of the next member, its key included.
func (f *Fields) key(name string) []byte {
	b := f.buf
	if name == resultName {
		return b
	}
	if len(b) > 1 {
		b = append(b, ',')
	}
	b, ok := jsontext.AppendQuoted(b, name)
	if !ok {
		f.fail(name, "has a name that is not valid UTF-8")
	}
	return append(b, ':')
}

func (f *Fields) appendBool(name string, v bool) {
	f.buf = strconv.AppendBool(f.key(name), v)
}

func (f *Fields) appendInt(name string, v int64) {
	f.buf = strconv.AppendInt(f.key(name), v, 10)
}

func (f *Fields) appendUint(name string, v uint64) {
	f.buf = strconv.AppendUint(f.key(name), v, 10)
}

func (f *Fields) appendFloat(name string, v float64, bits int) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		f.fail(name, "JSON has no NaN and no infinity")
		return
	}
	f.buf = appendNumber(f.key(name), v, bits)
}

func (f *Fields) appendString(name, v string) {
	b, ok := jsontext.AppendQuoted(f.key(name), v)
	if !ok {
		f.fail(name, "is not valid UTF-8")
	}
	f.buf = b
}

func (f *Fields) appendTime(name string, v time.Time) {
	if reason := checkTime(v); reason != "" {
		f.fail(name, reason)
		return
	}
	b, err := v.AppendText(append(f.key(name), '"'))
	if err != nil {
		f.fail(name, "is a time that RFC 3339 cannot hold")
		return
	}
	f.buf = append(b, '"')
}

// appendNumber writes a float as encoding/json does: as short as still reads
// back exactly, with an exponent if that is far from zero.
func appendNumber(b []byte, v float64, bits int) []byte {
	abs := math.Abs(v)
	format := byte('f')
	if abs != 0 && (bits == 64 && (abs < 1e-6 || abs >= 1e21) ||
		bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21)) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, v, format, -1, bits)
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && (b[n-3] == '-' || b[n-3] == '+') && b[n-2] == '0' {
		b[n-2] = b[n-1] // e-09 becomes e-9
		b = b[:n-1]
	}
	return b
}

// fieldsWriter is the io.Writer of a Fields' json.Encoder.
type fieldsWriter Fields

func (w *fieldsWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	return len(b), nil
}

func (f *Fields) appendJSON(name string, p any) {
	if f.err != nil {
		return
	}
	f.buf = f.key(name)
	f.appendValue(name, p)
}

// appendInline writes the object of a struct but for its last brace, which Payload
// adds.
func (f *Fields) appendInline(name string, p any) {
	if f.err != nil {
		return
	}
	f.buf = f.buf[:0]
	f.appendValue(name, p)
	if f.err != nil {
		return
	}
	n := len(f.buf)
	if n < 2 || f.buf[0] != '{' {
		f.fail(name, "is not written as a JSON object")
		return
	}
	f.buf = f.buf[:n-1]
}

// appendValue writes the value at p with encoding/json, and checks that the
// result can be read back.
func (f *Fields) appendValue(name string, p any) {
	defer func() {
		if v := recover(); v != nil {
			f.fail(name, fmt.Sprintf("panic of type %T while it was encoded", v))
		}
	}()
	start := len(f.buf)
	v := reflect.ValueOf(p).Elem()
	if endless(v) {
		f.fail(name, jsontext.BadLoop)
		return
	}
	if err := f.enc.Encode(p); err != nil {
		f.failWith(name, encodeReason(err), err)
		return
	}
	f.buf = f.buf[:len(f.buf)-1] // the encoder ends with a new line
	f.check.reset(f.buf)
	if _, reason := f.check.value(start, nil); reason != "" {
		f.fail(name, reason)
		return
	}
	if reason := partOf(v.Type()).inexact(v, f.check.nulls); reason != "" {
		f.fail(name, reason)
		return
	}
	// encoding/json writes U+FFFD for bytes that are not UTF-8.
	if f.check.Replaced {
		if reason := notUTF8(v, 0); reason != "" {
			f.fail(name, reason)
		}
	}
}

// encodeReason says why encoding/json could not encode a value, without the
// value.
func encodeReason(err error) string {
	switch err := err.(type) {
	case *json.UnsupportedTypeError:
		return "JSON has no " + valueType(err.Type)
	case *json.UnsupportedValueError:
		switch err.Value.Kind() {
		case reflect.Float32, reflect.Float64:
			return "JSON has no NaN and no infinity"
		}
		return jsontext.BadLoop
	case *json.MarshalerError:
		return "the marshaler of " + valueType(err.Type) + " failed"
	}
	return "cannot be encoded as JSON"
}

// valueType names a type, or the target of a pointer type.
func valueType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[json.RawMessage]() { // an alias since Go 1.27
		return "json.RawMessage"
	}
	return t.String()
}
