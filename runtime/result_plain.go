package runtime

import "time"

// The methods of this file take a result of the type in their name as a task's
// function returns it. The value is a variable of theirs, so that the compiler has none
// to keep for each task; so none is inlined.

// Bool takes a result of type bool.
//
//go:noinline
func (o *Result) Bool(v bool, err error) error { return o.Plain(&v, err) }

// String takes a result of type string.
//
//go:noinline
func (o *Result) String(v string, err error) error { return o.Plain(&v, err) }

// Int takes a result of type int.
//
//go:noinline
func (o *Result) Int(v int, err error) error { return o.Plain(&v, err) }

// Int8 takes a result of type int8.
//
//go:noinline
func (o *Result) Int8(v int8, err error) error { return o.Plain(&v, err) }

// Int16 takes a result of type int16.
//
//go:noinline
func (o *Result) Int16(v int16, err error) error { return o.Plain(&v, err) }

// Int32 takes a result of type int32.
//
//go:noinline
func (o *Result) Int32(v int32, err error) error { return o.Plain(&v, err) }

// Int64 takes a result of type int64.
//
//go:noinline
func (o *Result) Int64(v int64, err error) error { return o.Plain(&v, err) }

// Uint takes a result of type uint.
//
//go:noinline
func (o *Result) Uint(v uint, err error) error { return o.Plain(&v, err) }

// Uint8 takes a result of type uint8.
//
//go:noinline
func (o *Result) Uint8(v uint8, err error) error { return o.Plain(&v, err) }

// Uint16 takes a result of type uint16.
//
//go:noinline
func (o *Result) Uint16(v uint16, err error) error { return o.Plain(&v, err) }

// Uint32 takes a result of type uint32.
//
//go:noinline
func (o *Result) Uint32(v uint32, err error) error { return o.Plain(&v, err) }

// Uint64 takes a result of type uint64.
//
//go:noinline
func (o *Result) Uint64(v uint64, err error) error { return o.Plain(&v, err) }

// Float32 takes a result of type float32.
//
//go:noinline
func (o *Result) Float32(v float32, err error) error { return o.Plain(&v, err) }

// Float64 takes a result of type float64.
//
//go:noinline
func (o *Result) Float64(v float64, err error) error { return o.Plain(&v, err) }

// Time takes a result of type time.Time.
//
//go:noinline
func (o *Result) Time(v time.Time, err error) error { return o.Plain(&v, err) }
