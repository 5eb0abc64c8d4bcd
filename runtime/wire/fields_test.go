package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// everyArgs has a field of each kind that Fields knows.
type everyArgs struct {
	Bool    bool
	String  string
	Int     int
	Int8    int8
	Int16   int16
	Int32   int32
	Int64   int64
	Uint    uint
	Uint8   uint8
	Uint16  uint16
	Uint32  uint32
	Uint64  uint64
	Float32 float32
	Float64 float64
	Time    time.Time
	Tree    tree
	Opt     *int64
}

// tree is a type for Fields.JSON: recursive, with slices, maps and text.
type tree struct {
	Name string
	Tags map[string]string `json:"tags"`
	Kids []tree            `json:"kids,omitzero"`
	At   *time.Time        `json:"at,omitempty"`
	Pair [2]int
	Raw  []byte
}

func (a *everyArgs) fields(f *Fields) {
	f.Bool("Bool", &a.Bool)
	f.String("String", &a.String)
	f.Int("Int", &a.Int)
	f.Int8("Int8", &a.Int8)
	f.Int16("Int16", &a.Int16)
	f.Int32("Int32", &a.Int32)
	f.Int64("Int64", &a.Int64)
	f.Uint("Uint", &a.Uint)
	f.Uint8("Uint8", &a.Uint8)
	f.Uint16("Uint16", &a.Uint16)
	f.Uint32("Uint32", &a.Uint32)
	f.Uint64("Uint64", &a.Uint64)
	f.Float32("Float32", &a.Float32)
	f.Float64("Float64", &a.Float64)
	f.Time("Time", &a.Time)
	f.JSON("Tree", &a.Tree)
	f.JSON("Opt", &a.Opt)
}

var everyParams = func() (params []Param) {
	for f := range reflect.TypeFor[everyArgs]().Fields() {
		params = append(params, Param{Name: f.Name, Optional: f.Name == "Opt"})
	}
	return params
}()

func decodeEvery(payload []byte) (a everyArgs, err error) {
	err = Unmarshal(payload, a.fields, everyParams)
	return a, err
}

// genEvery draws arguments that survive the wire.
var genEvery = rapid.Custom(func(t *rapid.T) everyArgs {
	finite := func(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }
	return everyArgs{
		Bool:    rapid.Bool().Draw(t, "Bool"),
		String:  rapid.String().Draw(t, "String"),
		Int:     rapid.Int().Draw(t, "Int"),
		Int8:    rapid.Int8().Draw(t, "Int8"),
		Int16:   rapid.Int16().Draw(t, "Int16"),
		Int32:   rapid.Int32().Draw(t, "Int32"),
		Int64:   rapid.Int64().Draw(t, "Int64"),
		Uint:    rapid.Uint().Draw(t, "Uint"),
		Uint8:   rapid.Uint8().Draw(t, "Uint8"),
		Uint16:  rapid.Uint16().Draw(t, "Uint16"),
		Uint32:  rapid.Uint32().Draw(t, "Uint32"),
		Uint64:  rapid.Uint64().Draw(t, "Uint64"),
		Float32: float32(rapid.Float32().Filter(func(v float32) bool { return finite(float64(v)) }).Draw(t, "Float32")),
		Float64: rapid.Float64().Filter(finite).Draw(t, "Float64"),
		Time:    genTime.Draw(t, "Time"),
		Tree:    genTree(3).Draw(t, "Tree"),
		Opt:     rapid.Ptr(rapid.Int64(), true).Draw(t, "Opt"),
	}
})

var genTime = rapid.Custom(func(t *rapid.T) time.Time {
	sec := rapid.Int64Range(-62135596800, 253402300799-86400).Draw(t, "sec")
	zone := rapid.IntRange(-23*60, 23*60).Draw(t, "zone")
	at := time.Unix(sec, rapid.Int64Range(0, 999_999_999).Draw(t, "nsec")).UTC()
	if in := at.In(time.FixedZone("", zone*60)); in.Year() >= 0 && in.Year() < 10000 && zone != 0 {
		return in
	}
	return at
})

func genTree(depth int) *rapid.Generator[tree] {
	return rapid.Custom(func(t *rapid.T) tree {
		v := tree{
			Name: rapid.String().Draw(t, "Name"),
			Pair: [2]int{rapid.Int().Draw(t, "a"), rapid.Int().Draw(t, "b")},
			Raw:  rapid.SliceOf(rapid.Byte()).Draw(t, "Raw"),
		}
		if rapid.Bool().Draw(t, "tagged") {
			v.Tags = rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "Tags")
		}
		if rapid.Bool().Draw(t, "timed") {
			at := genTime.Draw(t, "At")
			v.At = &at
		}
		if depth > 0 && rapid.Bool().Draw(t, "kids") {
			v.Kids = rapid.SliceOfN(genTree(depth-1), 0, 3).Draw(t, "Kids")
		}
		return v
	})
}

// equalArgs is reflect.DeepEqual, but times are equal when their instant and
// their offset are.
func equalArgs(a, b everyArgs) bool {
	if !equalTimes(a.Time, b.Time) {
		return false
	}
	a.Time, b.Time = time.Time{}, time.Time{}
	return equalTrees(&a.Tree, &b.Tree) && reflect.DeepEqual(a, b)
}

func equalTimes(a, b time.Time) bool {
	_, x := a.Zone()
	_, y := b.Zone()
	return a.Equal(b) && x == y
}

// equalTrees compares the times of two trees and makes them identical.
func equalTrees(a, b *tree) bool {
	if (a.At == nil) != (b.At == nil) || len(a.Kids) != len(b.Kids) {
		return false
	}
	if a.At != nil {
		if !equalTimes(*a.At, *b.At) {
			return false
		}
		b.At = a.At
	}
	for i := range a.Kids {
		if !equalTrees(&a.Kids[i], &b.Kids[i]) {
			return false
		}
	}
	return true
}

// Arguments come back equal, and are the JSON that encoding/json makes.
func TestFields_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genEvery.Draw(t, "args")
		payload, err := Marshal(in.fields)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if string(payload) != string(want) {
			t.Fatalf("encoded\n%s\nencoding/json\n%s", payload, want)
		}
		for _, payload := range [][]byte{payload, reorder(t, payload)} {
			out, err := decodeEvery(payload)
			if err != nil {
				t.Fatalf("decode %s: %v", payload, err)
			}
			if !equalArgs(in, out) {
				t.Fatalf("in  %+v\nout %+v", in, out)
			}
		}
	})
}

// reorder writes an object with its keys in another order, white space between,
// and its strings escaped in another way, as a database may.
func reorder(t *rapid.T, payload []byte) []byte {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range everyParams {
		keys = append(keys, p.Name)
	}
	space := rapid.SampledFrom([]string{"", " ", "\n\t", "  \r\n"})
	var b strings.Builder
	b.WriteString(space.Draw(t, "space") + "{")
	for i, key := range rapid.Permutation(keys).Draw(t, "keys") {
		if i > 0 {
			b.WriteString(",")
		}
		quoted := `"` + key + `"`
		if rapid.Bool().Draw(t, "escape") {
			quoted = fmt.Sprintf(`"\u%04x%s"`, key[0], key[1:])
		}
		b.WriteString(space.Draw(t, "space") + quoted + space.Draw(t, "space") + ":" + space.Draw(t, "space"))
		b.Write(members[key])
		b.WriteString(space.Draw(t, "space"))
	}
	b.WriteString("}" + space.Draw(t, "space"))
	return []byte(b.String())
}
