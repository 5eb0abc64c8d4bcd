package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type (
	plan    string
	shouted string // which encodes itself
	even    int    // which validates itself
)

func (s shouted) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(s))), nil }

func (s *shouted) UnmarshalText(b []byte) error {
	*s = shouted(strings.ToLower(string(b)))
	return nil
}

func (e *even) Validate() error {
	if *e%2 != 0 {
		return errors.New("it is odd")
	}
	return nil
}

// laidOut has a field of each kind that generated arguments have, as they are
// declared: not exported, and not in an order that needs no gaps.
type laidOut struct {
	ok    bool
	s     string
	i8    int8
	i     int
	i16   int16
	i32   int32
	i64   int64
	u8    uint8
	u     uint
	u16   uint16
	u32   uint32
	u64   uint64
	f32   float32
	f64   float64
	at    time.Time
	plan  plan
	loud  shouted
	even  even
	list  []string
	none  struct{}
	point *struct{ X, Y int }
}

// A layout reads what the methods of Fields have written, into a struct's fields
// in order.
func TestLayout(t *testing.T) {
	in := laidOut{
		true, "s", -8, -1, -16, -32, -64, 8, 1, 16, 32, 64, 0.5, 0.25, time.Date(2026, 11, 29, 1, 2, 3, 4, time.UTC),
		"pro", "hey", 4, []string{"a", "b"}, struct{}{}, &struct{ X, Y int }{1, 2},
	}
	typ := reflect.TypeFor[laidOut]()
	var params []Param
	for f := range typ.Fields() {
		params = append(params, Param{Name: f.Name})
	}
	layout, err := LayoutOf(typ, params)
	require.NoError(t, err)
	listIn := func(f *Fields) { layout.List(f, unsafe.Pointer(&in)) }
	raw, err := Marshal(listIn)
	require.NoError(t, err)
	assert.Contains(t, string(raw), `"loud":"HEY","even":4`)
	var out laidOut
	require.NoError(t, Unmarshal(raw, func(f *Fields) { layout.List(f, unsafe.Pointer(&out)) }, params))
	assert.Equal(t, in, out)

	in.even = 3
	_, err = Marshal(listIn)
	assert.ErrorContains(t, err, `parameter "even" is not valid: it is odd`)
	odd := json.RawMessage(strings.Replace(string(raw), `"even":4`, `"even":3`, 1))
	err = Unmarshal(odd, func(f *Fields) { layout.List(f, unsafe.Pointer(new(laidOut))) }, params)
	assert.ErrorContains(t, err, `parameter "even" is not valid: it is odd`)
}

func TestLayout_OfAnotherStruct(t *testing.T) {
	for _, v := range []any{struct{ A int }{}, struct{}{}, 0} {
		_, err := LayoutOf(reflect.TypeOf(v), []Param{{Name: "a"}, {Name: "b"}})
		assert.ErrorContains(t, err, "has not a field for each of 2 parameters")
	}
}
