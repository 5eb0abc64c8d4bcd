// Package wire is the payload: it writes the arguments and results of tasks as
// JSON, and reads them back exactly. Generated code lists the arguments of a
// task to [Fields]. A [Validator] is asked when a call is enqueued and before
// it runs. A [Definition] is a task as data: what generated code declares, and an App
// reads.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// Fields visits the arguments of a task, to write them as JSON or to read them
// back. Generated code lists them to it for a call:
//
//	f := wire.Encode()
//	f.String("customerID", &customerID)
//	f.Int64("cents", &cents)
//	f.JSON("order", &order)
//
// To read them a [Layout] lists the fields of a struct. A glue.Task has one
// list for both.
//
// The JSON is the same, byte for byte, that encoding/json makes of a struct
// with these keys. Unlike encoding/json, Fields refuses values that would not
// come back equal: a string that is not UTF-8, a time whose zone offset has
// seconds. When reading, keys are case-sensitive, each must be there exactly
// once, and there are no others.
//
// After the first error the other methods do nothing. A Fields is for one
// goroutine and must not be kept.
type Fields struct {
	decoding bool
	err      error
	refused  *InvalidError // from an argument's own Validate; err wins over it

	// Encoding: the text so far, and an encoder that appends to it.
	buf []byte
	enc *json.Encoder

	// Decoding; see decode.go.
	data    []byte
	pos     int
	params  []Param
	count   int
	indexed bool
	spans   []jsontext.Span
	hint    int
	check   checker
	scratch []byte
}

// maxPooledBuffer bounds, in bytes, the buffer of a pooled Fields.
const maxPooledBuffer = 64 << 10

var fieldsPool = sync.Pool{New: func() any {
	f := &Fields{buf: make([]byte, 0, 512)}
	f.enc = json.NewEncoder((*fieldsWriter)(f))
	return f
}}

// release returns f to the pool, without any data of its caller.
func (f *Fields) release() {
	if cap(f.buf) > maxPooledBuffer || cap(f.scratch) > maxPooledBuffer || f.check.large() {
		return
	}
	f.buf = f.buf[:0]
	f.err, f.refused = nil, nil
	if f.decoding {
		f.decoding, f.indexed = false, false
		f.data, f.params = nil, nil
		f.count, f.hint = 0, 0
	}
	f.check.reset(nil)
	fieldsPool.Put(f)
}

// fail keeps the first error, with the parameter's name. The reason must not
// show the value, which may be a redacted one.
func (f *Fields) fail(name, reason string) {
	if f.err == nil {
		f.err = errors.New(subject(name) + reason)
	}
}

// failWith is fail for an error of other code: it can be unwrapped, but is not
// printed, since its text may show the value.
func (f *Fields) failWith(name, reason string, err error) {
	if f.err == nil {
		f.err = &guard.Hidden{Text: subject(name) + reason, Err: err}
	}
}

func subject(name string) string {
	if name == resultName {
		return "result: "
	}
	return fmt.Sprintf("parameter %q: ", name)
}

// Bool visits a bool.
func (f *Fields) Bool(name string, p *bool) {
	if !f.decoding {
		f.appendBool(name, *p)
	} else if v, ok := f.readBool(name); ok {
		*p = v
	}
}

// String visits a string, which must be valid UTF-8.
func (f *Fields) String(name string, p *string) {
	if !f.decoding {
		f.appendString(name, *p)
	} else if v, ok := f.readString(name); ok {
		*p = string(v)
	}
}

// Int visits an int.
func (f *Fields) Int(name string, p *int) {
	if !f.decoding {
		f.appendInt(name, int64(*p))
	} else if v, ok := f.readInt(name, intSize, "int"); ok {
		*p = int(v)
	}
}

// Int8 visits an int8.
func (f *Fields) Int8(name string, p *int8) {
	if !f.decoding {
		f.appendInt(name, int64(*p))
	} else if v, ok := f.readInt(name, 8, "int8"); ok {
		*p = int8(v)
	}
}

// Int16 visits an int16.
func (f *Fields) Int16(name string, p *int16) {
	if !f.decoding {
		f.appendInt(name, int64(*p))
	} else if v, ok := f.readInt(name, 16, "int16"); ok {
		*p = int16(v)
	}
}

// Int32 visits an int32.
func (f *Fields) Int32(name string, p *int32) {
	if !f.decoding {
		f.appendInt(name, int64(*p))
	} else if v, ok := f.readInt(name, 32, "int32"); ok {
		*p = int32(v)
	}
}

// Int64 visits an int64.
func (f *Fields) Int64(name string, p *int64) {
	if !f.decoding {
		f.appendInt(name, *p)
	} else if v, ok := f.readInt(name, 64, "int64"); ok {
		*p = v
	}
}

// Uint visits a uint.
func (f *Fields) Uint(name string, p *uint) {
	if !f.decoding {
		f.appendUint(name, uint64(*p))
	} else if v, ok := f.readUint(name, intSize, "uint"); ok {
		*p = uint(v)
	}
}

// Uint8 visits a uint8.
func (f *Fields) Uint8(name string, p *uint8) {
	if !f.decoding {
		f.appendUint(name, uint64(*p))
	} else if v, ok := f.readUint(name, 8, "uint8"); ok {
		*p = uint8(v)
	}
}

// Uint16 visits a uint16.
func (f *Fields) Uint16(name string, p *uint16) {
	if !f.decoding {
		f.appendUint(name, uint64(*p))
	} else if v, ok := f.readUint(name, 16, "uint16"); ok {
		*p = uint16(v)
	}
}

// Uint32 visits a uint32.
func (f *Fields) Uint32(name string, p *uint32) {
	if !f.decoding {
		f.appendUint(name, uint64(*p))
	} else if v, ok := f.readUint(name, 32, "uint32"); ok {
		*p = uint32(v)
	}
}

// Uint64 visits a uint64.
func (f *Fields) Uint64(name string, p *uint64) {
	if !f.decoding {
		f.appendUint(name, *p)
	} else if v, ok := f.readUint(name, 64, "uint64"); ok {
		*p = v
	}
}

// Float32 visits a float32, which must be finite.
func (f *Fields) Float32(name string, p *float32) {
	if !f.decoding {
		f.appendFloat(name, float64(*p), 32)
	} else if v, ok := f.readFloat(name, 32, "float32"); ok {
		*p = float32(v)
	}
}

// Float64 visits a float64, which must be finite.
func (f *Fields) Float64(name string, p *float64) {
	if !f.decoding {
		f.appendFloat(name, *p, 64)
	} else if v, ok := f.readFloat(name, 64, "float64"); ok {
		*p = v
	}
}

// Time visits a time. Its instant comes back exactly, and so does its zone
// offset, which must be whole minutes. Its monotonic clock reading and the
// name of its zone are lost.
func (f *Fields) Time(name string, p *time.Time) {
	if !f.decoding {
		f.appendTime(name, *p)
	} else if v, ok := f.readTime(name); ok {
		*p = v
	}
}

// JSON visits, by a pointer, a value of any type that encoding/json can bring
// back. If it is a [Validator], it is asked.
func (f *Fields) JSON(name string, p any) {
	if f.decoding {
		f.readJSON(name, p)
	} else {
		f.appendJSON(name, p)
	}
	f.validate(name, p)
}

// Inline visits, by a pointer, the only argument of a task: a struct whose fields
// are the arguments. If it is a [Validator], it is asked.
func (f *Fields) Inline(name string, p any) {
	if f.decoding {
		f.readInline(name, p)
	} else {
		f.appendInline(name, p)
	}
	f.validate(name, p)
}

// result returns the first error.
func (f *Fields) result() error {
	if f.err == nil && f.refused != nil {
		return f.refused
	}
	return f.err
}

// Encode returns a Fields for listing the arguments of a call, to give to
// NewCall.
//
//go:noinline
func Encode() *Fields {
	f := fieldsPool.Get().(*Fields)
	f.buf = append(f.buf, '{')
	return f
}
