package runtime

import (
	"encoding/json"
	"time"
)

// resultName is the name under which a result is visited: it stands alone, not
// in an object.
const resultName = ""

// encodeResult returns the result as JSON, nil for [Void].
func encodeResult[R any](r R) (json.RawMessage, error) {
	if isVoid[R]() {
		return nil, nil
	}
	f := fieldsPool.Get().(*Fields)
	if !f.basic(&r) {
		visitJSON(f, r)
	}
	return f.finishEncode()
}

// decodeResult reads a result. For [Void] whatever there is is ignored.
func decodeResult[R any](raw json.RawMessage) (R, error) {
	var r R
	if isVoid[R]() {
		return r, nil
	}
	f := fieldsPool.Get().(*Fields)
	defer f.release()
	f.decoding = true
	f.check.reset(raw)
	f.check.lenient = true // a later version may have added fields
	f.data = raw
	f.pos = skipSpace(raw, 0)
	if !f.basic(&r) {
		r = visitJSON(f, r)
	}
	if f.err == nil && skipSpace(raw, f.pos) != len(raw) {
		f.fail(resultName, badSyntax)
	}
	if f.err != nil {
		var zero R
		return zero, f.err
	}
	return r, nil
}

func isVoid[R any]() bool {
	_, void := any((*R)(nil)).(*Void)
	return void
}

// visitJSON visits a result of a type that is not basic. It is a function of its
// own so that only such results go to the heap.
func visitJSON[R any](f *Fields, r R) R {
	f.JSON(resultName, &r)
	return r
}

// basic visits the result that p points to, if its type has a method of its
// own.
func (f *Fields) basic(p any) bool {
	switch p := p.(type) {
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
