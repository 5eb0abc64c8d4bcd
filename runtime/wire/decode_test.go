package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

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

// base64Error is in other words since Go 1.27.
var base64Error = func() string {
	if reflect.TypeFor[json.RawMessage]().PkgPath() == "encoding/json" {
		return `parameter "tree": cannot be decoded from JSON`
	}
	return `parameter "tree": has the wrong type or range at Raw for []uint8`
}()

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
	{`{"id":"a","n":1,"tree":{"Raw":"canary!"}}`, base64Error},
	{`{"id":"a","n":1,"tree":` + strings.Repeat(`[`, maxDepth+1), `parameter "tree": is nested too deep`},
	{`{"n":1,"id":"canary","tree":` + strings.Repeat(`{"kids":[`, maxDepth), `parameter "tree": is nested too deep`},
}

func TestFields_DecodeErrors(t *testing.T) {
	for _, test := range badPayloads {
		var a pairArgs
		err := Unmarshal(json.RawMessage(test.payload), a.fields, pairParams)
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

func TestFields_DecodeAccepts(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 30, 0, 5, time.FixedZone("", -(3*3600+30*60)))
	for payload, want := range map[string]pairArgs{
		`{"id":"a","n":-0}`: {ID: "a"},
		` { "n" : -128 , "id" : "\u0061\/\ud83d\ude00\n" } `:                  {ID: "a/😀\n", N: -128},
		`{"at":"2024-02-29T12:30:00.000000005-03:30","n":127,"id":""}`:        {N: 127, At: at},
		`{"id":"a","n":1,"tree":null}`:                                        {ID: "a", N: 1},
		`{"id":"a","n":1,"tree":{"kids":[{"tags":{"kids":"x"}}],"Raw":null}}`: {ID: "a", N: 1, Tree: &tree{Kids: []tree{{Tags: map[string]string{"kids": "x"}}}}},
	} {
		var got pairArgs
		if err := Unmarshal(json.RawMessage(payload), got.fields, pairParams); err != nil {
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
	if err := Unmarshal(nil, nil, nil); err != nil {
		t.Errorf("an empty payload: %v", err)
	}
	if err := Unmarshal(json.RawMessage(`{"a":1}`), nil, nil); err == nil {
		t.Error("a task without parameters takes any")
	}
}

func TestFields_DecodeHooks(t *testing.T) {
	for payload, want := range map[string]string{
		`{"v":"panic"}`: `parameter "v": panic of type string while it was decoded`,
		`{"v":"x"}`:     `parameter "v": cannot be decoded from JSON`,
	} {
		var v broken
		err := Unmarshal(json.RawMessage(payload), func(f *Fields) { f.JSON("v", &v) }, []Param{{Name: "v"}})
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if want == `parameter "v": cannot be decoded from JSON` && errors.Unwrap(err).Error() != "canary" {
			t.Errorf("%v does not wrap the error of the method", err)
		}
	}
}

// TestUnmarshalForeign: keys of nobody are passed over, at the top and in structs;
// all else is as strict as ever.
func TestUnmarshalForeign(t *testing.T) {
	for payload, want := range map[string]string{
		`{"id":"a","n":1}`: "",
		`{"trace":{"id":[1,{"deep":null}]},"n":1,"\u0069d":"a","trace":2,"tree":{"Name":"x","Colour":"red"}}`: "",
		`{"id":"a","n":1,"ID":"b"}`:                 `unknown parameter "ID"`,
		`{"id":"a","n":1,"extra":bad}`:              `parameter "extra": is not valid JSON`,
		`{"id":"a","n":1,"id":"b"}`:                 `parameter "id": is there twice`,
		`{"id":"a","extra":1}`:                      `parameter "n": is missing`,
		`{"id":"a","n":300,"extra":1}`:              `parameter "n": `,
		`{"id":"a","n":1,"tree":{"name":"canary"}}`: `parameter "tree": contains a key that differs from a field's only in case`,
		`{"id":"a","n":1,"extra":1}}`:               `arguments are followed by more data`,
		`[]`:                                        `arguments are not a JSON object`,
	} {
		var a pairArgs
		err := UnmarshalForeign(json.RawMessage(payload), a.fields, pairParams)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", payload, err)
		case want == "" && (a.ID != "a" || a.N != 1):
			t.Errorf("%s: %+v", payload, a)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s: %v, not %s", payload, err, want)
		}
		if err := Unmarshal(json.RawMessage(`{"id":"a","n":1,"extra":1}`), new(pairArgs).fields, pairParams); err == nil {
			t.Error("a pooled Fields stays lenient")
		}
	}
}
