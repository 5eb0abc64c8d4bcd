package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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
	err = decodeFields(payload, &a, (*everyArgs).fields, everyParams)
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
func TestFieldsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genEvery.Draw(t, "args")
		payload, err := encodeFields(in.fields)
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

func FuzzFieldsEncode(f *testing.F) {
	f.Add("a", int64(0), uint64(0), 0.0, int64(0), 0)
	f.Add("<&>\u2028\x00\"\\\ufffd\U0001F600\x7f", int64(math.MinInt64), uint64(math.MaxUint64), 1e21, int64(-1), 3600)
	f.Add("\xff", int64(-1), uint64(255), math.Inf(1), int64(1<<40), 1172)
	f.Add("\xed\xa0\x80", int64(128), uint64(65536), 1e-7, int64(-1<<60), -86340)
	f.Fuzz(func(t *testing.T, s string, i int64, u uint64, x float64, sec int64, zone int) {
		in := everyArgs{
			Bool: i%2 == 0, String: s,
			Int: int(i), Int8: int8(i), Int16: int16(i), Int32: int32(i), Int64: i,
			Uint: uint(u), Uint8: uint8(u), Uint16: uint16(u), Uint32: uint32(u), Uint64: u,
			Float32: float32(x), Float64: x, Time: time.Unix(sec, i&0x1fffffff).In(time.FixedZone("x", zone%90000)),
			Tree: tree{Name: s, Tags: map[string]string{s: s}, Raw: []byte(s)},
		}
		payload, err := encodeFields(in.fields)
		want, jsonErr := json.Marshal(in)
		if err != nil {
			_, offset := in.Time.Zone()
			if jsonErr == nil && utf8.ValidString(s) && offset%60 == 0 {
				t.Fatalf("%v, but encoding/json has %s", err, want)
			}
			if len(s) > 3 && strings.Contains(err.Error(), s) {
				t.Fatalf("the error shows the value: %v", err)
			}
			return
		}
		if string(payload) != string(want) {
			t.Fatalf("encoded\n%s\nencoding/json\n%s %v", payload, want, jsonErr)
		}
		out, err := decodeEvery(payload)
		if err != nil || !equalArgs(in, out) {
			t.Fatalf("in  %+v\nout %+v %v", in, out, err)
		}
	})
}

func FuzzFieldsDecode(f *testing.F) {
	for _, in := range []everyArgs{{}, {String: "é\x00\"", Tree: tree{Tags: map[string]string{"a": "b"}, Kids: []tree{{Raw: []byte{1}}}}}} {
		payload, err := encodeFields(in.fields)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(payload))
	}
	for _, test := range badPayloads {
		f.Add([]byte(test.payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := decodeEvery(payload)
		if err != nil {
			return
		}
		var std everyArgs
		if err := json.Unmarshal(payload, &std); err != nil {
			t.Fatalf("accepted %q, encoding/json does not: %v", payload, err)
		}
		if !equalArgs(a, std) {
			t.Fatalf("%q\n     %+v\nstd: %+v", payload, a, std)
		}
		again, err := encodeFields(a.fields)
		if err != nil {
			t.Fatalf("%q: decoded but not encoded: %v", payload, err)
		}
		b, err := decodeEvery(again)
		if err != nil || !equalArgs(a, b) {
			t.Fatalf("%q\nfirst  %+v\nsecond %+v %v", payload, a, b, err)
		}
	})
}

// pairArgs is what the tables below decode.
type pairArgs struct {
	ID   string
	N    int8
	At   time.Time
	Tree *tree
}

func (a *pairArgs) fields(f *Fields) {
	f.String("id", &a.ID)
	f.Int8("n", &a.N)
	f.Time("at", &a.At)
	f.JSON("tree", &a.Tree)
}

var pairParams = []Param{{Name: "id"}, {Name: "n"}, {Name: "at", Optional: true}, {Name: "tree", Optional: true}}

// badPayloads are refused. The word canary in a value must not be in the error.
var badPayloads = []struct{ payload, want string }{
	{`null`, `arguments are not a JSON object`},
	{`[]`, `arguments are not a JSON object`},
	{` `, `arguments are not a JSON object`},
	{`{`, `arguments are not valid JSON`},
	{`{}`, `parameter "id": is missing`},
	{`{"id":"canary"}`, `parameter "n": is missing`},
	{`{"id":"canary","n":1}}`, `arguments are followed by more data`},
	{`{"id":"canary","n":1} {}`, `arguments are followed by more data`},
	{`{"id":"canary","n":1,}`, `arguments are not valid JSON`},
	{`{"id":"canary" "n":1}`, `arguments are not valid JSON`},
	{`{"id":"canary","n":1,"id":"b"}`, `parameter "id": is there twice`},
	{`{"id":"canary","n":1,"\u0069d":"b"}`, `parameter "id": is there twice`},
	{`{"id":"canary","n":1,"ID":"b"}`, `unknown parameter "ID"`},
	{`{"id":"canary","n":1,"extra":1}`, `unknown parameter "extra"`},
	{`{"extra":canary,"id":"canary","n":1}`, `parameter "extra": is not valid JSON`},
	{`{"id":null,"n":1}`, `parameter "id": is null, not a string`},
	{`{"id":["canary"],"n":1}`, `parameter "id": is an array, not a string`},
	{`{"id":"canary\uD800","n":1}`, `parameter "id": contains a string that is not valid UTF-8`},
	{`{"id":"canary\uDC00\uD800","n":1}`, `parameter "id": contains a string that is not valid UTF-8`},
	{"{\"id\":\"canary\xff\",\"n\":1}", `parameter "id": contains a string that is not valid UTF-8`},
	{"{\"id\":\"canary\n\",\"n\":1}", `parameter "id": is not valid JSON`},
	{`{"id":"canary\x","n":1}`, `parameter "id": is not valid JSON`},
	{`{"id":"a","n":"canary"}`, `parameter "n": is a string, not an int8`},
	{`{"id":"a","n":128}`, `parameter "n": is out of range of int8`},
	{`{"id":"a","n":-129}`, `parameter "n": is out of range of int8`},
	{`{"id":"a","n":99999999999999999999999}`, `parameter "n": is out of range of int8`},
	{`{"id":"a","n":1.0}`, `parameter "n": is a number with a fraction or an exponent, not an int8`},
	{`{"id":"a","n":1e1}`, `parameter "n": is a number with a fraction or an exponent, not an int8`},
	{`{"id":"a","n":01}`, `arguments are not valid JSON`},
	{`{"id":"a","n":+1}`, `parameter "n": is invalid JSON, not an int8`},
	{`{"id":"a","n":1,"at":"canary"}`, `parameter "at": is not a time as in RFC 3339`},
	{`{"id":"a","n":1,"at":null}`, `parameter "at": is null, not a time`},
	{`{"id":"a","n":1,"at":"2020-02-30T00:00:00Z"}`, `parameter "at": is not a time as in RFC 3339`},
	{`{"id":"a","n":1,"tree":{"Name":1}}`, `parameter "tree": has the wrong type or range at Name for string`},
	{`{"id":"a","n":1,"tree":{"name":"canary"}}`, `parameter "tree": contains a key that differs from a field's only in case`},
	{`{"id":"a","n":1,"tree":{"canary":1}}`, `parameter "tree": contains a key that no field has`},
	{`{"id":"a","n":1,"tree":{"kids":[{"Name":"canary","Name":"b"}]}}`, `parameter "tree": contains an object with a duplicate key`},
	{`{"id":"a","n":1,"tree":{"tags":{"canary":"1","\u0063anary":"2"}}}`, `parameter "tree": contains an object with a duplicate key`},
	{`{"id":"a","n":1,"tree":{"Name":null}}`, `parameter "tree": is or contains null where that means nothing`},
	{`{"id":"a","n":1,"tree":{"Pair":[1,2,3]}}`, `parameter "tree": contains an array of another length`},
	{`{"id":"a","n":1,"tree":{"Pair":[1]}}`, `parameter "tree": contains an array of another length`},
	{`{"id":"a","n":1,"tree":{"tags":{"a":"\ud83d"}}}`, `parameter "tree": contains a string that is not valid UTF-8`},
	{`{"id":"a","n":1,"tree":{"Raw":"canary!"}}`, `parameter "tree": cannot be decoded from JSON`},
	{`{"id":"a","n":1,"tree":` + strings.Repeat(`[`, maxDepth+1), `parameter "tree": is nested too deep`},
	{`{"n":1,"id":"canary","tree":` + strings.Repeat(`{"kids":[`, maxDepth), `parameter "tree": is nested too deep`},
}

func TestFieldsDecodeErrors(t *testing.T) {
	for _, test := range badPayloads {
		var a pairArgs
		err := decodeFields(json.RawMessage(test.payload), &a, (*pairArgs).fields, pairParams)
		name := test.payload[:min(len(test.payload), 80)]
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, a)
			continue
		}
		if err.Error() != test.want {
			t.Errorf("%s\n got: %v\nwant: %s", name, err, test.want)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the value: %v", name, err)
		}
	}
}

func TestFieldsDecodeAccepts(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 30, 0, 5, time.FixedZone("", -(3*3600+30*60)))
	for payload, want := range map[string]pairArgs{
		`{"id":"a","n":-0}`: {ID: "a"},
		` { "n" : -128 , "id" : "\u0061\/\ud83d\ude00\n" } `:                  {ID: "a/😀\n", N: -128},
		`{"at":"2024-02-29T12:30:00.000000005-03:30","n":127,"id":""}`:        {N: 127, At: at},
		`{"id":"a","n":1,"tree":null}`:                                        {ID: "a", N: 1},
		`{"id":"a","n":1,"tree":{"kids":[{"tags":{"kids":"x"}}],"Raw":null}}`: {ID: "a", N: 1, Tree: &tree{Kids: []tree{{Tags: map[string]string{"kids": "x"}}}}},
	} {
		var got pairArgs
		if err := decodeFields(json.RawMessage(payload), &got, (*pairArgs).fields, pairParams); err != nil {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		if !equalTimes(got.At, want.At) {
			t.Errorf("%s: at %v", payload, got.At)
		}
		got.At = want.At
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", payload, got, want)
		}
	}
	if err := decodeFields[struct{}](nil, nil, nil, nil); err != nil {
		t.Errorf("an empty payload: %v", err)
	}
	if err := decodeFields[struct{}](json.RawMessage(`{"a":1}`), nil, nil, nil); err == nil {
		t.Error("a task without parameters takes any")
	}
}

// broken is a type whose methods do what its text says.
type broken string

func (b broken) MarshalJSON() ([]byte, error) {
	switch b {
	case "panic":
		panic("canary")
	case "error":
		return nil, errors.New("canary")
	case "invalid":
		return []byte("{canary"), nil
	case "duplicate":
		return []byte(`{"canary":1,"canary":2}`), nil
	case "surrogate":
		return []byte(`"canary\ud800"`), nil
	case "bytes":
		return []byte("\"canary\xff\""), nil
	}
	return json.Marshal(string(b))
}

func (b *broken) UnmarshalJSON(raw []byte) error {
	if string(raw) == `"panic"` {
		panic("canary")
	}
	return errors.New("canary")
}

type textual string

func (t textual) MarshalText() ([]byte, error)  { return []byte(t), nil }
func (t *textual) UnmarshalText(b []byte) error { *t = textual(b); return nil }

type keyed struct{ a, b string }

func (k keyed) MarshalText() ([]byte, error)  { return []byte(k.a + k.b), nil }
func (k *keyed) UnmarshalText(b []byte) error { k.a = string(b); return nil }

func TestFieldsEncodeErrors(t *testing.T) {
	const notUTF8 = "contains a string that is not valid UTF-8"
	odd := time.Date(1900, 1, 1, 0, 0, 0, 0, time.FixedZone("canary", 1172))
	loop := &tree{}
	loop.Kids = []tree{{}}
	var self any
	self = &self
	for _, test := range []struct {
		value any
		want  string
	}{
		{"canary\xff", "contains a string that is not valid UTF-8"},
		{[]string{"canary\xff"}, notUTF8},
		{map[string]int{"canary\xff": 1}, notUTF8},
		{&tree{Kids: []tree{{Name: "\ufffd canary \xff"}}}, notUTF8},
		{struct{ A any }{"canary\xff"}, notUTF8},
		{textual("canary\xff"), "the text of runtime.textual is not valid UTF-8"},
		{broken("canary\xff"), "the JSON of runtime.broken holds a string that was not valid UTF-8"},
		{json.RawMessage("\"canary\xff\""), notUTF8},
		{json.RawMessage(`"canary\udc00"`), notUTF8},
		{json.RawMessage(`{canary`), "the marshaler of json.RawMessage failed"},
		{json.RawMessage(`{"canary":1,"canary":2}`), "contains an object with a duplicate key"},
		{math.NaN(), "JSON has no NaN and no infinity"},
		{[]float32{float32(math.Inf(-1))}, "JSON has no NaN and no infinity"},
		{make(chan int), "JSON has no chan int"},
		{self, "contains a value that JSON cannot hold, or itself"},
		{broken("panic"), "panic of type string while it was encoded"},
		{broken("error"), "the marshaler of runtime.broken failed"},
		{broken("invalid"), "the marshaler of runtime.broken failed"},
		{broken("duplicate"), "contains an object with a duplicate key"},
		{broken("surrogate"), notUTF8},
		{broken("bytes"), notUTF8},
		{odd, "has a time whose zone offset has seconds, which RFC 3339 cannot hold"},
		{map[string][]*time.Time{"a": {nil, &odd}}, "has a time whose zone offset has seconds, which RFC 3339 cannot hold"},
		{&tree{Kids: []tree{{At: &odd}}}, "has a time whose zone offset has seconds, which RFC 3339 cannot hold"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "the marshaler of time.Time failed"},
		{map[keyed]int{{"a", "b"}: 1, {"ab", ""}: 2}, "contains an object with a duplicate key"},
	} {
		p := reflect.New(reflect.TypeOf(test.value))
		p.Elem().Set(reflect.ValueOf(test.value))
		_, err := encodeFields(func(f *Fields) {
			f.JSON("v", p.Interface())
			f.JSON("next", new("never")) // does nothing any more
		})
		if err == nil || err.Error() != `parameter "v": `+test.want {
			t.Errorf("%T: got %v, want %s", test.value, err, test.want)
		}
	}
}

func TestFieldsEncodeBasicErrors(t *testing.T) {
	odd := time.Date(1900, 1, 1, 0, 0, 0, 0, time.FixedZone("canary", 1172))
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, visit := range map[string]func(*Fields){
		`parameter "v": is not valid UTF-8`:                                                   func(f *Fields) { f.String("v", new("canary\xff")) },
		`parameter "v": JSON has no NaN and no infinity`:                                      func(f *Fields) { f.Float32("v", new(float32(math.NaN()))) },
		`parameter "w": JSON has no NaN and no infinity`:                                      func(f *Fields) { f.Float64("w", new(math.Inf(1))) },
		`parameter "v": has a time whose zone offset has seconds, which RFC 3339 cannot hold`: func(f *Fields) { f.Time("v", &odd) },
		`parameter "v": is a time that RFC 3339 cannot hold`:                                  func(f *Fields) { f.Time("v", &late) },
	} {
		if _, err := encodeFields(visit); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// U+FFFD itself is a character like any other.
func TestFieldsReplacementCharacter(t *testing.T) {
	in := everyArgs{String: "\ufffd", Tree: tree{Name: "\ufffd"}}
	payload, err := encodeFields(in.fields)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := decodeEvery(payload); err != nil || !equalArgs(in, out) {
		t.Fatal(out, err)
	}
	raw := json.RawMessage(`"\ufffd"`)
	if _, err := encodeFields(func(f *Fields) { f.JSON("raw", &raw) }); err != nil {
		t.Error(err)
	}
}

func TestFieldsDecodeHooks(t *testing.T) {
	for payload, want := range map[string]string{
		`{"v":"panic"}`: `parameter "v": panic of type string while it was decoded`,
		`{"v":"x"}`:     `parameter "v": cannot be decoded from JSON`,
	} {
		var v broken
		err := decodeFields(json.RawMessage(payload), &v, func(v *broken, f *Fields) { f.JSON("v", v) }, []Param{{Name: "v"}})
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if want == `parameter "v": cannot be decoded from JSON` && errors.Unwrap(err).Error() != "canary" {
			t.Errorf("%v does not wrap the error of the method", err)
		}
	}
}

func TestResults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genEvery.Draw(t, "result")
		checkResult(t, in.Bool)
		checkResult(t, in.String)
		checkResult(t, in.Int)
		checkResult(t, in.Int8)
		checkResult(t, in.Int16)
		checkResult(t, in.Int32)
		checkResult(t, in.Int64)
		checkResult(t, in.Uint)
		checkResult(t, in.Uint8)
		checkResult(t, in.Uint16)
		checkResult(t, in.Uint32)
		checkResult(t, in.Uint64)
		checkResult(t, in.Float32)
		checkResult(t, in.Float64)
		checkResult(t, in.Opt)
		checkResult(t, []string{in.String})
		checkResult(t, map[string]int64{in.String: in.Int64})
		raw, err := encodeResult(in)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := decodeResult[everyArgs](raw); err != nil || !equalArgs(in, out) {
			t.Fatal(out, err)
		}
	})
	if raw, err := encodeResult(Void{}); raw != nil || err != nil {
		t.Error(raw, err)
	}
	if _, err := decodeResult[Void](nil); err != nil {
		t.Error(err)
	}
}

func checkResult[R any](t *rapid.T, in R) {
	raw, err := encodeResult(in)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := json.Marshal(in); string(raw) != string(want) {
		t.Fatalf("encoded %s, encoding/json %s", raw, want)
	}
	out, err := decodeResult[R](raw)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Fatalf("%T: in %v, out %v, %v", in, in, out, err)
	}
}

func TestResultErrors(t *testing.T) {
	if _, err := encodeResult("canary\xff"); err == nil || err.Error() != "result: is not valid UTF-8" {
		t.Error(err)
	}
	if _, err := encodeResult([]float64{math.NaN()}); err == nil || err.Error() != "result: JSON has no NaN and no infinity" {
		t.Error(err)
	}
	for raw, want := range map[string]string{
		``:         "result: is invalid JSON, not an int",
		`1 2`:      "result: is not valid JSON",
		`"canary"`: "result: is a string, not an int",
		`null`:     "result: is null, not an int",
	} {
		if v, err := decodeResult[int](json.RawMessage(raw)); v != 0 || err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", raw, err, want)
		}
	}
	// A later version may add fields, but none in another case.
	if v, err := decodeResult[tree](json.RawMessage(`{"Name":"a","New":1}`)); v.Name != "a" || err != nil {
		t.Error(v, err)
	}
	if _, err := decodeResult[tree](json.RawMessage(`{"NAME":"a"}`)); err == nil {
		t.Error("a key in another case is taken for the field")
	}
}

type plainArgs struct {
	ok bool
	n  int64
	u  uint8
	x  float64
	s  string
}

func (a *plainArgs) fields(f *Fields) {
	f.Bool("ok", &a.ok)
	f.Int64("n", &a.n)
	f.Uint8("u", &a.u)
	f.Float64("x", &a.x)
	f.String("s", &a.s)
}

var plainParams = []Param{{Name: "ok"}, {Name: "n"}, {Name: "u"}, {Name: "x"}, {Name: "s"}}

func TestFieldsAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	check := func(what string, want float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(1000, f); got > want {
			t.Errorf("%s: %v allocations, want %v", what, got, want)
		}
	}
	var a plainArgs
	check("encode", 1, func() {
		args := plainArgs{true, 1 << 40, 7, 0.5, "<text>"}
		if _, err := encodeFields(args.fields); err != nil {
			t.Fatal(err)
		}
	})
	for _, payload := range []string{
		`{"ok":true,"n":1099511627776,"u":7,"x":0.5,"s":""}`,
		`{"s":"", "x": 0.5, "u": 7, "n": 1099511627776, "ok": true}`,
	} {
		raw := json.RawMessage(payload)
		check("decode", 0, func() {
			if err := decodeFields(raw, &a, (*plainArgs).fields, plainParams); err != nil {
				t.Fatal(err)
			}
		})
	}
	check("encode result", 1, func() { _, _ = encodeResult(int64(1 << 40)) })
	check("encode no result", 0, func() { _, _ = encodeResult(Void{}) })
	raw := json.RawMessage("1.5")
	check("decode result", 0, func() { _, _ = decodeResult[float64](raw) })
}

// A task that was enqueued by another version is recognised by its signature.
func TestSignatures(t *testing.T) {
	task := &spec{Spec: Spec{Params: []Param{
		{Name: "id", Sig: "string"}, {Name: "orders", Sig: "map[string]*Order:9f86d081"}, {Name: "note", Sig: "string", Optional: true},
	}}}
	for sig, want := range map[string]string{
		"": "",
		"id:string orders:map[string]*Order:9f86d081 note:string": "",
		"orders:map[string]*Order:9f86d081 id:string":             "",
		"id:string orders:map[string]*Bestellung2:9f86d081":       "",
		"id:string": `without parameter "orders"`,
		"id:int64 orders:map[string]*Order:9f86d081":                     `parameter "id" of type int64, here string`,
		"id:string orders:map[string]*Order:00000000":                    `parameter "orders" of type map[string]*Order:00000000`,
		"id:string orders:map[string]Order:9f86d081":                     `parameter "orders" of type map[string]Order:9f86d081`,
		"id:string orders:map[string]*Order:9f86d081 extra:bool":         `parameter "extra" that this one does not have`,
		"id:string orders:map[string]*Order:9f86d081 note:Text:9f86d081": `parameter "note" of type Text:9f86d081`,
	} {
		err := task.accepts(sig)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", sig, err, want)
		}
	}
}
