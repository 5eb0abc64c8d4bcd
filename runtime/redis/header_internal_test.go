package redis

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestEncodeHeader_IsJSON: what is written by hand is what encoding/json writes, with
// any field set or not.
func TestEncodeHeader_IsJSON(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8900, time.UTC)
	plain := engine.Message{
		Meta: engine.Meta{Version: 1, EnqueuedAt: at, Signature: "s:int64", Retries: 3}, Keep: time.Hour,
	}
	check := func(what string, m engine.Message) {
		t.Helper()
		got, err := encodeHeader(&m)
		want, wantErr := json.Marshal(envelopeOf(&m))
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: the header is\n%s, %v; encoding/json writes\n%s, %v", what, got, err, want, wantErr)
		}
		if err == nil {
			sameBack(t, what, m)
		}
	}
	check("plain", plain)
	values := []any{
		7, -1, math.MaxInt, "a", `"`, `\`, "<", "é", "\x00", "\xff", time.Second, 1500 * time.Millisecond, time.Duration(-1),
		engine.HoldWaiting, at, at.In(time.FixedZone("", 3600)), at.AddDate(9000, 0, 0), uuid.New(), map[string]string{"k": "v"}, []string{"p"},
	}
	each := func(name string, pick func(*engine.Message) reflect.Value) {
		m := plain
		pick(&m).SetZero()
		check(name+" is zero", m)
		for _, v := range values {
			m := plain
			if f := pick(&m); reflect.TypeOf(v) == f.Type() {
				f.Set(reflect.ValueOf(v))
				check(name, m)
			}
		}
	}
	for i, meta := 0, reflect.TypeFor[engine.Meta](); i < meta.NumField(); i++ {
		each(meta.Field(i).Name, func(m *engine.Message) reflect.Value { return reflect.ValueOf(&m.Meta).Elem().Field(i) })
	}
	for _, name := range []string{"Due", "Key", "KeyFor", "KeyHold", "Keep", "KeepFailed"} {
		each(name, func(m *engine.Message) reflect.Value { return reflect.ValueOf(m).Elem().FieldByName(name) })
	}
}

// sameBack checks that what the header leaves out is read from asynq's message.
func sameBack(t *testing.T, what string, m engine.Message) {
	t.Helper()
	if m.Name = "task.a"; m.Meta.ID == uuid.Nil {
		m.Meta.ID = uuid.New()
	}
	tm, err := new(layout).encodeMessage(&m)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	back, err := decodeTaskMessage(tm.encode())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	got, err := back.message(0)
	if err != nil || got.Meta.ID != m.Meta.ID || got.Meta.Retries != m.Meta.Retries || got.Keep != m.Keep {
		t.Errorf("%s: id %s, %d retries, kept for %s, %v came back of id %s, %d retries, kept for %s", what,
			got.Meta.ID, got.Meta.Retries, got.Keep, err, m.Meta.ID, m.Meta.Retries, m.Keep)
	}
}
