package runtime

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// encodeFields returns the arguments that args lists as one JSON object. A nil
// args lists none.
func encodeFields(args func(*Fields)) (json.RawMessage, error) {
	if args == nil {
		return json.RawMessage("{}"), nil
	}
	f := fieldsPool.Get().(*Fields)
	f.buf = append(f.buf, '{')
	args(f)
	f.buf = append(f.buf, '}')
	return f.finishEncode()
}

// finishEncode returns a copy of what was written, or the error, and gives f
// back.
func (f *Fields) finishEncode() (json.RawMessage, error) {
	defer f.release()
	if f.err != nil {
		return nil, f.err
	}
	payload := make(json.RawMessage, len(f.buf))
	copy(payload, f.buf)
	return payload, nil
}

// key starts a member of the object.
func (f *Fields) key(name string) {
	if name == resultName {
		return
	}
	if len(f.buf) > 1 {
		f.buf = append(f.buf, ',')
	}
	f.buf = append(appendQuoted(f.buf, name), ':')
}

func (f *Fields) appendBool(name string, v bool) {
	f.key(name)
	f.buf = strconv.AppendBool(f.buf, v)
}

func (f *Fields) appendInt(name string, v int64) {
	f.key(name)
	f.buf = strconv.AppendInt(f.buf, v, 10)
}

func (f *Fields) appendUint(name string, v uint64) {
	f.key(name)
	f.buf = strconv.AppendUint(f.buf, v, 10)
}

func (f *Fields) appendFloat(name string, v float64, bits int) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		f.fail(name, "JSON has no NaN and no infinity")
		return
	}
	f.key(name)
	f.buf = appendNumber(f.buf, v, bits)
}

func (f *Fields) appendString(name, v string) {
	if !utf8.ValidString(v) {
		f.fail(name, "is not valid UTF-8")
		return
	}
	f.key(name)
	f.buf = appendQuoted(f.buf, v)
}

func (f *Fields) appendTime(name string, v time.Time) {
	if reason := checkTime(v); reason != "" {
		f.fail(name, reason)
		return
	}
	f.key(name)
	f.buf = append(f.buf, '"')
	b, err := v.AppendText(f.buf)
	if err != nil {
		f.fail(name, "is a time that RFC 3339 cannot hold")
		return
	}
	f.buf = append(b, '"')
}

// checkTime says why the time would not come back equal. package time cuts the
// seconds off a zone offset, which moves the instant.
func checkTime(t time.Time) string {
	if _, offset := t.Zone(); offset%60 != 0 {
		return "is a time whose zone offset has seconds, which RFC 3339 cannot hold"
	}
	return ""
}

// appendNumber writes a float as encoding/json does: as short as it can be read
// back exactly, with an exponent when that is far from zero.
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

// plain tells the ASCII characters that a string holds as they are; the others
// are escaped, those of HTML as well, as encoding/json does.
var plain = func() (set [utf8.RuneSelf]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		set[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return set
}()

const hexDigits = "0123456789abcdef"

// appendQuoted writes a string of valid UTF-8 in quotes.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == '\u2028' || r == '\u2029' { // line ends in JavaScript
			b = append(b, s[start:i]...)
			b = append(b, '\\', 'u', '2', '0', '2', hexDigits[r&0xF])
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '\\', '"':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
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
	f.key(name)
	f.appendValue(name, p)
}

// appendValue writes the value that p points to with encoding/json, and checks
// that what was written can be read back.
func (f *Fields) appendValue(name string, p any) {
	defer func() {
		if v := recover(); v != nil {
			f.fail(name, "panic while it was encoded as JSON")
		}
	}()
	start := len(f.buf)
	if err := f.enc.Encode(p); err != nil {
		f.failWith(name, encodeReason(err), err)
		return
	}
	f.buf = f.buf[:len(f.buf)-1] // the encoder ends with a new line
	f.check.reset(f.buf)
	if _, reason := f.check.value(start); reason != "" {
		f.fail(name, reason)
		return
	}
	// encoding/json writes this escape for bytes that are not UTF-8, and never
	// for U+FFFD itself; but it may be in a json.RawMessage.
	if f.check.replaced {
		if reason := inexact(reflect.ValueOf(p), 0); reason != "" {
			f.fail(name, reason)
		}
	}
}

// encodeReason says why encoding/json could not encode a value, without the
// value.
func encodeReason(err error) string {
	switch err := err.(type) {
	case *json.UnsupportedTypeError:
		return "JSON has no " + err.Type.String()
	case *json.UnsupportedValueError:
		switch err.Value.Kind() {
		case reflect.Float32, reflect.Float64:
			return "JSON has no NaN and no infinity"
		}
		return "contains a value that JSON cannot hold, or itself"
	case *json.MarshalerError:
		return "the marshaler of " + err.Type.String() + " failed"
	}
	return "cannot be encoded as JSON"
}

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
		if _, bad := check.value(0); err != nil || bad != "" || check.replaced {
			return "the JSON of " + v.Type().String() + " holds a string that was not valid UTF-8", true
		}
		return "", true
	case encoding.TextMarshaler:
		if b, err := m.MarshalText(); err != nil || !utf8.Valid(b) {
			return "the text of " + v.Type().String() + " is not valid UTF-8", true
		}
		return "", true
	}
	return "", false
}
