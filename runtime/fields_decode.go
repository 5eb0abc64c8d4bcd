package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
)

// intSize is the size of int, in bits.
const intSize = strconv.IntSize

// decodeFields reads the payload into a, which must be zero, by the list in
// fields. params are the parameters that fields lists. An empty payload is the
// same as an empty object.
func decodeFields[A any](payload json.RawMessage, a *A, fields func(*A, *Fields), params []Param) error {
	f := fieldsPool.Get().(*Fields)
	defer f.release()
	f.startDecode(payload, params)
	if fields != nil && f.err == nil {
		fields(a, f)
	}
	f.endDecode()
	return f.err
}

func (f *Fields) startDecode(payload []byte, params []Param) {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	f.decoding = true
	f.params = params
	f.check.reset(payload)
	f.data = payload
	f.pos = skipSpace(payload, 0)
	if f.pos == len(payload) || payload[f.pos] != '{' {
		f.err = errors.New("arguments are not a JSON object")
		return
	}
	f.pos++
}

// find moves to the value of the parameter and reports whether there is one.
// As long as the keys come in the order in which they are asked for, the
// payload is read in one pass. Otherwise it is indexed first.
func (f *Fields) find(name string) bool {
	if f.err != nil {
		return false
	}
	if name == resultName {
		return true
	}
	if !f.indexed {
		if f.next(name) {
			return true
		}
		if !f.index() {
			return false
		}
	}
	i := f.param(name)
	if i < 0 {
		f.fail(name, "is not declared")
		return false
	}
	if f.spans[i].end > 0 {
		f.pos = f.spans[i].start
		return true
	}
	if !f.params[i].Optional {
		f.fail(name, "is missing")
	}
	return false
}

// next reports whether the next member is the parameter's, and moves to its
// value.
func (f *Fields) next(name string) bool {
	data, i := f.data, skipSpace(f.data, f.pos)
	if f.count > 0 {
		if i >= len(data) || data[i] != ',' {
			return false
		}
		i = skipSpace(data, i+1)
	}
	end := i + 1 + len(name)
	if end >= len(data) || data[i] != '"' || data[end] != '"' || string(data[i+1:end]) != name {
		return false
	}
	if i = skipSpace(data, end+1); i >= len(data) || data[i] != ':' {
		return false
	}
	f.pos = skipSpace(data, i+1)
	f.count++
	return true
}

// param returns the index of the parameter in params, or -1. Parameters are
// mostly asked for in order.
func (f *Fields) param(name string) int {
	for n := range f.params {
		i := (f.hint + n) % len(f.params)
		if f.params[i].Name == name {
			f.hint = i + 1
			return i
		}
	}
	return -1
}

// index checks the whole payload and notes where the value of each parameter
// is.
func (f *Fields) index() bool {
	f.indexed = true
	f.spans = f.spans[:0]
	for range f.params {
		f.spans = append(f.spans, span{})
	}
	i := skipSpace(f.data, 0) + 1
	if i = skipSpace(f.data, i); i < len(f.data) && f.data[i] == '}' {
		return f.endIndex(i)
	}
	for {
		key, bad := f.check.string(skipSpace(f.data, i))
		if bad != "" {
			return f.invalid(bad)
		}
		name := f.check.text(key)
		if i = skipSpace(f.data, key.end); i >= len(f.data) || f.data[i] != ':' {
			return f.invalid(badSyntax)
		}
		value := span{start: skipSpace(f.data, i+1)}
		if value.end, bad = f.check.value(value.start); bad != "" {
			f.fail(shorten(name), bad)
			return false
		}
		n := f.param(name)
		switch {
		case n < 0:
			f.err = fmt.Errorf("unknown parameter %q", shorten(name))
			return false
		case f.spans[n].end > 0:
			f.fail(name, "is there twice")
			return false
		}
		f.spans[n] = value
		if i = skipSpace(f.data, value.end); i >= len(f.data) {
			return f.invalid(badSyntax)
		}
		switch f.data[i] {
		case ',':
			i++
		case '}':
			return f.endIndex(i)
		default:
			return f.invalid(badSyntax)
		}
	}
}

// endIndex ends the index at the closing brace.
func (f *Fields) endIndex(i int) bool {
	f.hint = 0
	if skipSpace(f.data, i+1) != len(f.data) {
		return f.invalid("are followed by more data")
	}
	return true
}

// invalid fails for a reason that no one parameter has.
func (f *Fields) invalid(bad string) bool {
	if bad == badSyntax {
		bad = "are not valid JSON"
	}
	f.err = fmt.Errorf("arguments %s", bad)
	return false
}

// shorten keeps the name of a foreign key from filling the error.
func shorten(name string) string {
	if len(name) > 64 {
		return name[:64] + "..."
	}
	return name
}

// endDecode checks that nothing is left.
func (f *Fields) endDecode() {
	if f.err != nil || f.indexed {
		return
	}
	i := skipSpace(f.data, f.pos)
	if i < len(f.data) && f.data[i] == '}' && skipSpace(f.data, i+1) == len(f.data) {
		return
	}
	if f.index() && f.err == nil { // says what is wrong
		f.invalid(badSyntax)
	}
}

// wrongType fails because the value at the current position is not of the type.
func (f *Fields) wrongType(name, want string) {
	got := "invalid JSON"
	if f.pos < len(f.data) {
		switch c := f.data[f.pos]; {
		case c == '"':
			got = "a string"
		case c == '{':
			got = "an object"
		case c == '[':
			got = "an array"
		case c == 't' || c == 'f':
			got = "a bool"
		case c == 'n':
			got = "null"
		case c == '-' || '0' <= c && c <= '9':
			got = "a number"
		}
	}
	f.fail(name, "is "+got+", not "+want)
}

func (f *Fields) readBool(name string) (v, ok bool) {
	if !f.find(name) {
		return false, false
	}
	if end, bad := f.check.literal(f.pos, "true"); bad == "" {
		f.pos = end
		return true, true
	}
	if end, bad := f.check.literal(f.pos, "false"); bad == "" {
		f.pos = end
		return false, true
	}
	f.wrongType(name, "a bool")
	return false, false
}

// readString returns the string's bytes, which are good until the next call.
func (f *Fields) readString(name string) ([]byte, bool) {
	if !f.find(name) {
		return nil, false
	}
	return f.stringAt(name, "a string")
}

func (f *Fields) stringAt(name, want string) ([]byte, bool) {
	if f.pos >= len(f.data) || f.data[f.pos] != '"' {
		f.wrongType(name, want)
		return nil, false
	}
	s, bad := f.check.string(f.pos)
	if bad != "" {
		f.fail(name, bad)
		return nil, false
	}
	f.pos = s.end
	raw := f.data[s.start+1 : s.end-1]
	if s.escaped {
		f.scratch = appendUnquoted(f.scratch[:0], raw)
		raw = f.scratch
	}
	return raw, true
}

// readInt reads an integer of the given size.
func (f *Fields) readInt(name string, bits int, kind string) (int64, bool) {
	if !f.find(name) {
		return 0, false
	}
	start := f.pos
	magnitude, ok := f.integer(name, kind)
	if !ok {
		return 0, false
	}
	limit := uint64(1) << (bits - 1)
	if f.data[start] == '-' {
		if magnitude <= limit {
			return -int64(magnitude), true
		}
	} else if magnitude < limit {
		return int64(magnitude), true
	}
	f.fail(name, "is out of range of "+kind)
	return 0, false
}

// readUint reads an unsigned integer of the given size.
func (f *Fields) readUint(name string, bits int, kind string) (uint64, bool) {
	if !f.find(name) {
		return 0, false
	}
	start := f.pos
	magnitude, ok := f.integer(name, kind)
	if !ok {
		return 0, false
	}
	if magnitude > math.MaxUint64>>(64-bits) || f.data[start] == '-' && magnitude > 0 {
		f.fail(name, "is out of range of "+kind)
		return 0, false
	}
	return magnitude, true
}

// integer reads an integer, and returns it without its sign.
func (f *Fields) integer(name, kind string) (uint64, bool) {
	end, integer, ok := scanNumber(f.data, f.pos)
	if !ok {
		f.wrongType(name, "an "+kind)
		return 0, false
	}
	if !integer {
		f.fail(name, "is a number with a fraction or an exponent, not an "+kind)
		return 0, false
	}
	digits := f.data[f.pos:end]
	if digits[0] == '-' {
		digits = digits[1:]
	}
	var v uint64
	for _, d := range digits {
		next := v*10 + uint64(d-'0')
		if v > math.MaxUint64/10 || next < v*10 {
			f.fail(name, "is out of range of "+kind)
			return 0, false
		}
		v = next
	}
	f.pos = end
	return v, true
}

func (f *Fields) readFloat(name string, bits int, kind string) (float64, bool) {
	if !f.find(name) {
		return 0, false
	}
	end, _, ok := scanNumber(f.data, f.pos)
	if !ok {
		f.wrongType(name, "a "+kind)
		return 0, false
	}
	v, err := strconv.ParseFloat(string(f.data[f.pos:end]), bits)
	if err != nil {
		f.fail(name, "is out of range of "+kind)
		return 0, false
	}
	f.pos = end
	return v, true
}

func (f *Fields) readTime(name string) (t time.Time, ok bool) {
	if !f.find(name) {
		return t, false
	}
	text, ok := f.stringAt(name, "a time")
	if !ok {
		return t, false
	}
	if err := t.UnmarshalText(text); err != nil {
		f.fail(name, "is not a time as in RFC 3339")
		return time.Time{}, false
	}
	return t, true
}

// readJSON reads a value of any type with encoding/json.
func (f *Fields) readJSON(name string, p any) {
	if !f.find(name) {
		return
	}
	end, bad := f.check.value(f.pos)
	if bad != "" {
		f.fail(name, bad)
		return
	}
	raw := f.data[f.pos:end]
	f.pos = end
	f.decodeValue(name, raw, p)
}

// decodeValue reads the JSON of one value into what p points to.
func (f *Fields) decodeValue(name string, raw []byte, p any) {
	defer func() {
		if v := recover(); v != nil {
			f.fail(name, "panic while its JSON was decoded")
		}
	}()
	if string(raw) == "null" && !nullable(p) {
		f.fail(name, "is null")
		return
	}
	if err := json.Unmarshal(raw, p); err != nil {
		f.failWith(name, decodeReason(err), err)
	}
}

// nullable reports whether null means something to the type that p points to.
func nullable(p any) bool {
	if _, ok := p.(json.Unmarshaler); ok {
		_, isTime := p.(*time.Time)
		return !isTime
	}
	switch reflect.TypeOf(p).Elem().Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return false
}

// decodeReason says why encoding/json could not decode a value, without the
// value.
func decodeReason(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		where := ""
		if wrong.Field != "" {
			where = " at " + wrong.Field
		}
		return "has the wrong type or range" + where + " for " + wrong.Type.String()
	}
	return "cannot be decoded from JSON"
}
