package wire

import (
	"encoding/json"
	"testing"
)

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

func TestFields_Allocations(t *testing.T) {
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
		if _, err := Marshal(args.fields); err != nil {
			t.Fatal(err)
		}
	})
	for _, payload := range []string{
		`{"ok":true,"n":1099511627776,"u":7,"x":0.5,"s":""}`,
		`{"s":"", "x": 0.5, "u": 7, "n": 1099511627776, "ok": true}`,
	} {
		raw := json.RawMessage(payload)
		check("decode", 0, func() {
			if err := Unmarshal(raw, a.fields, plainParams); err != nil {
				t.Fatal(err)
			}
		})
	}
	check("encode result", 1, func() {
		v := int64(1 << 40)
		_, _ = EncodePlain(&v)
	})
	check("encode no result", 0, func() { _, _ = EncodePlain(&Void{}) })
	raw := json.RawMessage("1.5")
	check("decode result", 0, func() {
		var v float64
		_, _ = DecodePlain(raw, &v)
	})
}
