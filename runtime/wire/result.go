package wire

import (
	"encoding/json"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// resultName is the name under which a result is visited: it stands alone, not
// in an object.
const resultName = ""

// EncodeResult returns the result as JSON, nil for [Void].
func EncodeResult[R any](r R) (json.RawMessage, error) {
	f := fieldsPool.Get().(*Fields)
	if !f.basic(&r) {
		visitJSON(f, r)
	}
	return f.finishEncode()
}

// DecodeResult reads a result. For [Void] it ignores the text.
func DecodeResult[R any](raw json.RawMessage) (R, error) {
	var r, zero R
	f := startResult(raw)
	if !f.basic(&r) {
		r = visitJSON(f, r)
	}
	if err := f.endResult(); err != nil {
		return zero, err
	}
	return r, nil
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

// visitJSON visits a result of a type that is not basic. It is a function of
// its own so that only such results go to the heap.
func visitJSON[R any](f *Fields, r R) R {
	f.JSON(resultName, &r)
	return r
}

// basic visits the result at p, if Fields has a method for its type.
func (f *Fields) basic(p any) bool {
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
