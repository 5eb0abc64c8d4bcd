package wire_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/wire"
)

type inlined struct {
	UserID int    `json:"user_id"`
	Lang   string `json:"lang,omitempty"`
}

// TestFields_Inline: the fields of one value are the arguments; a strict reader takes
// no other keys, a lenient one passes over them, and nothing but an object is read.
func TestFields_Inline(t *testing.T) {
	params := []wire.Param{{Name: "email", Sig: "inlined:1", Inline: true}}
	x := inlined{UserID: 7}
	payload, err := wire.Marshal(func(f *wire.Fields) { f.Inline("email", &x) })
	require.NoError(t, err)
	assert.Equal(t, `{"user_id":7}`, string(payload))
	var none struct{}
	payload, err = wire.Marshal(func(f *wire.Fields) { f.Inline("none", &none) })
	require.NoError(t, err)
	assert.Equal(t, `{}`, string(payload))
	bad := inlined{Lang: "\xff"}
	_, err = wire.Marshal(func(f *wire.Fields) { f.Inline("email", &bad) })
	require.ErrorContains(t, err, `parameter "email"`)
	list := []int{1}
	_, err = wire.Marshal(func(f *wire.Fields) { f.Inline("email", &list) })
	require.ErrorContains(t, err, "not written as a JSON object")

	for text, want := range map[string][2]string{
		` {"lang":"de","user_id":8} `: {"", ""},
		`{"user_id":8,"trace":1}`:     {"a key that no field has", ""},
		`{"User_ID":8}`:               {"differs from a field's only in case", "differs from a field's only in case"},
		`{"user_id":8} {}`:            {"followed by more data", "followed by more data"},
		`{"user_id":8`:                {"JSON", "JSON"},
		`[]`:                          {"not a JSON object", "not a JSON object"},
		`{"user_id":8,"user_id":9}`:   {"duplicate key", "duplicate key"},
		``:                            {"", ""},
	} {
		for i, read := range []func([]byte, func(*wire.Fields), []wire.Param) error{
			func(b []byte, args func(*wire.Fields), ps []wire.Param) error { return wire.Unmarshal(b, args, ps) },
			func(b []byte, args func(*wire.Fields), ps []wire.Param) error {
				return wire.UnmarshalForeign(b, args, ps)
			},
		} {
			var got inlined
			err := read([]byte(text), func(f *wire.Fields) { f.Inline("email", &got) }, params)
			if want[i] != "" {
				require.ErrorContains(t, err, want[i], text)
				continue
			}
			require.NoError(t, err, text)
			if text != "" {
				assert.Equal(t, 8, got.UserID, text)
			}
		}
	}
}
