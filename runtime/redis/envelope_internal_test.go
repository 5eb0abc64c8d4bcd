package redis

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// TestEnvelopeIsJSON: what is written by hand is what encoding/json writes, with
// any field set or not.
func TestEnvelopeIsJSON(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8900, time.UTC)
	plain := envelope{Meta: runtime.Meta{Version: 1, EnqueuedAt: at, Signature: "s:int64", Retries: 3}, Keep: time.Hour}
	if !plain.plain() {
		t.Fatal("a plain header is not taken for one")
	}
	check := func(what string, h envelope) {
		t.Helper()
		got, err := h.encode()
		want, wantErr := json.Marshal(h)
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: the header is\n%s, %v; encoding/json writes\n%s, %v", what, got, err, want, wantErr)
		}
	}
	check("plain", plain)
	values := []any{
		7, "a", `"`, "<", "é", "\x00", time.Second, at, at.In(time.FixedZone("", 3600)), at.AddDate(9000, 0, 0),
		uuid.New(), map[string]string{"k": "v"}, []string{"p"}, time.Duration(-1), -1,
	}
	set := 0
	each := func(name string, pick func(*envelope) reflect.Value) {
		h := plain
		pick(&h).SetZero()
		check(name+" is zero", h)
		for _, v := range values {
			h := plain
			if f := pick(&h); reflect.TypeOf(v) == f.Type() {
				f.Set(reflect.ValueOf(v))
				check(name, h)
				set++
			}
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[envelope]()) {
		if !f.Anonymous {
			each(f.Name, func(h *envelope) reflect.Value { return reflect.ValueOf(h).Elem().FieldByIndex(f.Index) })
		}
	}
	if fields := reflect.TypeFor[runtime.Meta]().NumField() + reflect.TypeFor[envelope]().NumField() - 1; set < fields {
		t.Errorf("%d values were tried on %d fields", set, fields)
	}
}
