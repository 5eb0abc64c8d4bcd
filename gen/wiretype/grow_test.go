package wiretype_test

import (
	"fmt"
	"go/types"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/gen/wiretype"
)

const growing = `
import ("encoding/json"; "time")

type Line struct { SKU string; Note string ` + "`json:\",omitempty\"`" + ` }
type Order struct {
	Lines  []Line
	Coupon string ` + "`json:\"coupon,omitzero\"`" + `
}
type Node struct {
	Next *Node ` + "`json:\"next,omitempty\"`" + `
	Kids map[string]*Node
	Only *struct{ By map[string]Line } ` + "`json:\"only,omitempty\"`" + `
}
type Odd struct {
	A int ` + "`json:\"a;b=c d:e,omitzero,string\"`" + `
	B [2]time.Time ` + "`json:\"é,omitempty\"`" + `
}
type Own struct { V Line }
func (Own) MarshalJSON() ([]byte, error) { return nil, nil }
func (*Own) UnmarshalJSON([]byte) error { return nil }
type Holder struct { Own Own; Free json.RawMessage ` + "`json:\",omitempty\"`" + ` }
`

// TestFingerprint_ListsFieldsThatMayBeLeftOut, beside a hash of the others.
func TestFingerprint_ListsFieldsThatMayBeLeftOut(t *testing.T) {
	for typ, want := range map[string]string{
		"Line":                            "Note=string",
		"[]*Order":                        "Lines[].Note=string;coupon=string",
		"map[string][]Order":              "Lines[].Note=string;coupon=string",
		"Node":                            "next=*^1;only=*#2ba19b37;only.By[].Note=string",
		"Odd":                             "%c3%a9=[2]time.Time;a%3bb%3dc%20d%3ae=int,string",
		"Own":                             "",
		"Holder":                          "Free=json.RawMessage",
		"struct{ A int; B []struct{} }":   "",
		"struct{ O *Order; P struct{} }":  "O.Lines[].Note=string;O.coupon=string",
		"struct{ *Line; SKU int }":        "Note=string",
		"struct{ Line; Note time.Month }": "",
	} {
		v := load(t, growing+"var V "+typ+"\nvar _ time.Time; var _ json.Number")["V"]
		print := wiretype.Fingerprint(v)
		_, list, found := strings.Cut(print, "{")
		_, list, _ = strings.Cut(strings.TrimSuffix(list, "}"), ";")
		assert.Equal(t, want, list, "%s: %s", typ, print)
		assert.Equal(t, want != "", found)
	}
}

// TestFingerprint_OfManyFieldsIsOfTheWhole: a message stays short.
func TestFingerprint_OfManyFieldsIsOfTheWhole(t *testing.T) {
	of := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "F%d int `json:\",omitzero\"`\n", i)
		}
		return wiretype.Fingerprint(load(t, "var V struct{\n"+b.String()+"}")["V"])
	}
	assert.Contains(t, of(64), "F63=int")
	assert.NotContains(t, of(65), "{")
}

func TestCompare(t *testing.T) {
	v := load(t, growing+`
type Was struct { A int; B int `+"`json:\",omitzero\"`"+`; C int `+"`json:\",omitzero\"`"+` }
type Is struct { A int; B int64 `+"`json:\",omitzero\"`"+`; D int `+"`json:\",omitzero\"`"+` }
type More struct { Was; E int }
type Set struct { A int; B int; C int }
var was Was; var is Is; var more More; var set Set
var slice []Was; var _ time.Time; var _ json.Number`)
	compare := func(a, b types.Type) wiretype.Change {
		return wiretype.Compare(wiretype.Fingerprint(a), wiretype.Fingerprint(b))
	}
	c := compare(v["was"], v["is"])
	assert.False(t, c.Retyped)
	assert.Equal(t, [][]string{{"D"}, {"C"}, {"B"}}, [][]string{c.Added, c.Removed, c.Changed})
	assert.Equal(t, "D", c.Renamed("C"))

	assert.True(t, compare(v["was"], v["more"]).Retyped)
	assert.Equal(t, "E", wiretype.WouldFit(wiretype.Fingerprint(v["was"]), v["more"]))
	assert.Empty(t, wiretype.WouldFit(wiretype.Fingerprint(v["is"]), v["slice"]))
	assert.True(t, compare(v["was"], v["slice"]).Retyped)

	assert.True(t, wiretype.SameOnWire(wiretype.Fingerprint(v["was"]), wiretype.Fingerprint(v["set"])), "omitzero alone is no change")
	assert.False(t, wiretype.SameText(wiretype.Fingerprint(v["was"]), wiretype.Fingerprint(v["set"])))
}
