package wire

import (
	"encoding/json"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// resultName is the name under which a result is visited: it stands alone, not
// in an object.
const resultName = ""

// EncodeResult returns the result that p points to as JSON, nil for [Void].
func EncodeResult(p any) (json.RawMessage, error) {
	f := fieldsPool.Get().(*Fields)
	if !f.plain(p) {
		f.JSON(resultName, p)
	}
	return f.finishEncode()
}

// EncodePlain is EncodeResult of a type that Fields has a method for. The
// value at p need not be on the heap.
func EncodePlain(p any) (json.RawMessage, error) {
	f := fieldsPool.Get().(*Fields)
	if !f.plain(p) {
		f.fail(resultName, "is of a type for EncodeResult")
	}
	return f.finishEncode()
}

// DecodeResult reads a result into the value at p, which must not be used if
// there is an error. For [Void] it ignores the text.
func DecodeResult(raw json.RawMessage, p any) error {
	f := startResult(raw)
	if !f.plain(p) {
		f.JSON(resultName, p)
	}
	return f.endResult()
}

// DecodePlain is DecodeResult for a type that Fields has a method for; for
// others it returns false. The value at p need not be on the heap.
func DecodePlain(raw json.RawMessage, p any) (plain bool, err error) {
	f := startResult(raw)
	if !f.plain(p) {
		f.release()
		return false, nil
	}
	return true, f.endResult()
}

// DecodeAs is DecodeResult into a new value, which is zero if there is an error.
func DecodeAs[R any](raw json.RawMessage) (R, error) {
	p := new(R)
	if err := DecodeResult(raw, p); err != nil {
		return *new(R), err
	}
	return *p, nil
}

// startResult returns a Fields that reads a result.
func startResult(raw json.RawMessage) *Fields {
	f := fieldsPool.Get().(*Fields)
	f.decoding = true
	f.check.reset(raw)
	f.check.lenient = true // a later version may have added fields
	f.data = raw
	f.pos = jsontext.SkipSpace(raw, 0)
	return f
}

// endResult checks that all of a result was read, and gives f back.
func (f *Fields) endResult() error {
	defer f.release()
	if f.err == nil && jsontext.SkipSpace(f.data, f.pos) != len(f.data) {
		f.fail(resultName, jsontext.BadSyntax)
	}
	return f.err
}

// plain visits the result that p points to, if its type has a method of its
// own.
func (f *Fields) plain(p any) bool {
	switch p := p.(type) {
	case *Void:
		f.pos = len(f.data)
	case *bool:
		f.Bool(resultName, p)
	case *string:
		f.String(resultName, p)
	case *int:
		f.Int(resultName, p)
	case *int8:
		f.Int8(resultName, p)
	case *int16:
		f.Int16(resultName, p)
	case *int32:
		f.Int32(resultName, p)
	case *int64:
		f.Int64(resultName, p)
	case *uint:
		f.Uint(resultName, p)
	case *uint8:
		f.Uint8(resultName, p)
	case *uint16:
		f.Uint16(resultName, p)
	case *uint32:
		f.Uint32(resultName, p)
	case *uint64:
		f.Uint64(resultName, p)
	case *float32:
		f.Float32(resultName, p)
	case *float64:
		f.Float64(resultName, p)
	case *time.Time:
		f.Time(resultName, p)
	default:
		return false
	}
	return true
}
