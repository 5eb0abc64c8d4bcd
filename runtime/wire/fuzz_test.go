package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

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
		payload, err := Marshal(in.fields)
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
		payload, err := Marshal(in.fields)
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
		again, err := Marshal(a.fields)
		if err != nil {
			t.Fatalf("%q: decoded but not encoded: %v", payload, err)
		}
		b, err := decodeEvery(again)
		if err != nil || !equalArgs(a, b) {
			t.Fatalf("%q\nfirst  %+v\nsecond %+v %v", payload, a, b, err)
		}
	})
}
