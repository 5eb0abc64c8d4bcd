package wire

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"
)

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

func TestFields_EncodeErrors(t *testing.T) {
	const notUTF8 = "contains a string that is not valid UTF-8"
	odd := time.Date(1900, 1, 1, 0, 0, 0, 0, time.FixedZone("canary", 1172))
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
		{textual("canary\xff"), "the text of wire.textual is not valid UTF-8"},
		{broken("canary\xff"), "the JSON of wire.broken holds a string that was not valid UTF-8"},
		{json.RawMessage("\"canary\xff\""), notUTF8},
		{json.RawMessage(`"canary\udc00"`), notUTF8},
		{json.RawMessage(`{canary`), "the marshaler of json.RawMessage failed"},
		{json.RawMessage(`{"canary":1,"canary":2}`), "contains an object with a duplicate key"},
		{math.NaN(), "JSON has no NaN and no infinity"},
		{[]float32{float32(math.Inf(-1))}, "JSON has no NaN and no infinity"},
		{make(chan int), "JSON has no chan int"},
		{self, "contains a value that JSON cannot hold, or itself"},
		{broken("panic"), "panic of type string while it was encoded"},
		{broken("error"), "the marshaler of wire.broken failed"},
		{broken("invalid"), "the marshaler of wire.broken failed"},
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
		_, err := Marshal(func(f *Fields) {
			f.JSON("v", p.Interface())
			f.JSON("next", new("never")) // does nothing any more
		})
		if err == nil || err.Error() != `parameter "v": `+test.want {
			t.Errorf("%T: got %v, want %s", test.value, err, test.want)
		}
	}
}

func TestFields_EncodeBasicErrors(t *testing.T) {
	odd := time.Date(1900, 1, 1, 0, 0, 0, 0, time.FixedZone("canary", 1172))
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, visit := range map[string]func(*Fields){
		`parameter "v": is not valid UTF-8`:                                                   func(f *Fields) { f.String("v", new("canary\xff")) },
		`parameter "v": JSON has no NaN and no infinity`:                                      func(f *Fields) { f.Float32("v", new(float32(math.NaN()))) },
		`parameter "w": JSON has no NaN and no infinity`:                                      func(f *Fields) { f.Float64("w", new(math.Inf(1))) },
		`parameter "v": has a time whose zone offset has seconds, which RFC 3339 cannot hold`: func(f *Fields) { f.Time("v", &odd) },
		`parameter "v": is a time that RFC 3339 cannot hold`:                                  func(f *Fields) { f.Time("v", &late) },
	} {
		if _, err := Marshal(visit); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// U+FFFD itself is a character like any other.
func TestFields_ReplacementCharacter(t *testing.T) {
	in := everyArgs{String: "\ufffd", Tree: tree{Name: "\ufffd"}}
	payload, err := Marshal(in.fields)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := decodeEvery(payload); err != nil || !equalArgs(in, out) {
		t.Fatal(out, err)
	}
	raw := json.RawMessage(`"\ufffd"`)
	if _, err := Marshal(func(f *Fields) { f.JSON("raw", &raw) }); err != nil {
		t.Error(err)
	}
	// A value beside it may encode itself, and come back equal without being deeply so.
	type when struct{ time.Time }
	beside := struct {
		Note string
		At   when
		Due  time.Time
		Raw  json.RawMessage `json:",omitempty"`
	}{"\ufffd", when{time.Now()}, time.Now(), nil}
	if _, err := Marshal(func(f *Fields) { f.JSON("beside", &beside) }); err != nil {
		t.Error(err)
	}
}
