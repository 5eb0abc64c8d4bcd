package wire

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestResult_RoundTrip(t *testing.T) {
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
		raw, err := EncodeResult(&in)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := decoded[everyArgs](raw); err != nil || !equalArgs(in, out) {
			t.Fatal(out, err)
		}
	})
	if raw, err := EncodeResult(&Void{}); raw != nil || err != nil {
		t.Error(raw, err)
	}
	if _, err := decoded[Void](nil); err != nil {
		t.Error(err)
	}
}

// decoded reads a result as a Handle does.
func decoded[R any](raw json.RawMessage) (R, error) {
	var r R
	plain, err := DecodePlain(raw, &r)
	if !plain {
		err = DecodeResult(raw, &r)
	}
	if err != nil {
		return *new(R), err
	}
	return r, nil
}

func checkResult[R any](t *rapid.T, in R) {
	raw, err := EncodeResult(&in)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := json.Marshal(in); string(raw) != string(want) {
		t.Fatalf("encoded %s, encoding/json %s", raw, want)
	}
	out, err := decoded[R](raw)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Fatalf("%T: in %v, out %v, %v", in, in, out, err)
	}
}

func TestResult_Errors(t *testing.T) {
	if _, err := EncodeResult(new("canary\xff")); err == nil || err.Error() != "result: is not valid UTF-8" {
		t.Error(err)
	}
	if _, err := EncodeResult(&[]float64{math.NaN()}); err == nil || err.Error() != "result: JSON has no NaN and no infinity" {
		t.Error(err)
	}
	for raw, want := range map[string]string{
		``:         "result: is invalid JSON, not an int",
		`1 2`:      "result: is not valid JSON",
		`"canary"`: "result: is a string, not an int",
		`null`:     "result: is null, not an int",
	} {
		if v, err := decoded[int](json.RawMessage(raw)); v != 0 || err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", raw, err, want)
		}
	}
	// A later version may add fields, but none in another case.
	if v, err := decoded[tree](json.RawMessage(`{"Name":"a","New":1}`)); v.Name != "a" || err != nil {
		t.Error(v, err)
	}
	if _, err := decoded[tree](json.RawMessage(`{"NAME":"a"}`)); err == nil {
		t.Error("a key in another case is taken for the field")
	}
}
