package remote

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestIsBare tries each field of a message and of its metadata, so that one that
// is new is not forgotten.
func TestIsBare(t *testing.T) {
	bare := map[string]bool{
		"Name": true, "Queue": true, "Args": true, "Priority": true, "Keep": true, "KeepFailed": true,
		"Version": true, "ID": true, "EnqueuedAt": true, "Signature": true, "Retries": true,
	}
	values := []any{
		1, int8(1), int16(1), "a", time.Second, time.Now(), uuid.New(), json.RawMessage("{}"), map[string]string{"k": "v"}, []string{"p"},
		engine.HoldActive, true, []engine.Limit{{Rule: "r", Key: "k", Most: 1}},
	}
	tried := 0
	try := func(f reflect.StructField, m *engine.Message, v reflect.Value) {
		for _, x := range values {
			if reflect.TypeOf(x) != f.Type {
				continue
			}
			tried++
			v.Set(reflect.ValueOf(x))
			if IsBare(m) != bare[f.Name] {
				t.Errorf("with %s set a message is bare: %v, want %v", f.Name, IsBare(m), bare[f.Name])
			}
		}
	}
	message, meta := reflect.TypeFor[engine.Message](), reflect.TypeFor[engine.Meta]()
	for i := range message.NumField() {
		m := new(engine.Message)
		try(message.Field(i), m, reflect.ValueOf(m).Elem().Field(i))
	}
	for i := range meta.NumField() {
		m := new(engine.Message)
		try(meta.Field(i), m, reflect.ValueOf(&m.Meta).Elem().Field(i))
	}
	if want := message.NumField() - 1 + meta.NumField(); tried != want {
		t.Errorf("%d fields were tried, there are %d", tried, want)
	}
}
