package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// intSize is the size of int, in bits.
const intSize = strconv.IntSize

// wrongType fails because the value at the current position has another type.
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

// readString returns the string's bytes, valid until the next call.
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
	s, bad := f.check.String(f.pos)
	if bad != "" {
		f.fail(name, bad)
		return nil, false
	}
	f.pos = s.End
	raw := f.data[s.Start+1 : s.End-1]
	if s.Escaped {
		f.scratch = jsontext.AppendUnquoted(f.scratch[:0], raw)
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
	if v, end := smallInt(f.data, start); end > 0 && v>>(bits-1) == 0 {
		f.pos = end
		return v, true
	}
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

// smallInt reads an integer of at most 18 digits without a sign, followed by a
// comma or the closing brace: most integers are such. For all else it returns
// 0 as the end.
func smallInt(data []byte, i int) (v int64, end int) {
	first := i
	for ; i < len(data) && '0' <= data[i] && data[i] <= '9'; i++ {
		v = v*10 + int64(data[i]-'0')
	}
	n := i - first
	if n == 0 || n > 18 || n > 1 && data[first] == '0' || i == len(data) || data[i] != ',' && data[i] != '}' {
		return 0, 0
	}
	return v, i
}

// integer reads an integer and returns its absolute value.
func (f *Fields) integer(name, kind string) (uint64, bool) {
	end, integer, ok := jsontext.Number(f.data, f.pos)
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
	end, _, ok := jsontext.Number(f.data, f.pos)
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
	if f.find(name) {
		f.readValue(name, p)
	}
}

// readValue reads the value at the position.
func (f *Fields) readValue(name string, p any) {
	end, bad := f.check.value(f.pos, shapeOf(p))
	if bad != "" {
		f.fail(name, bad)
		return
	}
	raw := f.data[f.pos:end]
	f.pos = end
	f.decodeValue(name, raw, p)
}

// readInline reads all of the arguments into one value.
func (f *Fields) readInline(name string, p any) {
	if f.err != nil {
		return
	}
	f.pos, f.indexed = jsontext.SkipSpace(f.data, 0), true
	f.readValue(name, p)
	if f.err == nil && jsontext.SkipSpace(f.data, f.pos) != len(f.data) {
		f.invalid("are followed by more data")
	}
}

// decodeValue reads the checked JSON of one value into p's target.
func (f *Fields) decodeValue(name string, raw []byte, p any) {
	defer func() {
		if v := recover(); v != nil {
			f.fail(name, fmt.Sprintf("panic of type %T while it was decoded", v))
		}
	}()
	if err := json.Unmarshal(raw, p); err != nil {
		f.failWith(name, decodeReason(err), err)
	}
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
