package redact

import (
	"encoding"
	"encoding/json"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// forms returns the texts that log handlers make of a value. slog's own
// handlers print an error, a TextMarshaler and a []byte each in its way;
// others print any value as JSON. A user's method that panics gives no text.
func forms(v any) []string {
	texts := []string{guard.Print(v)}
	add := func(f func() (string, error)) {
		_ = guard.Call(func() error {
			s, err := f()
			if err == nil {
				texts = append(texts, s)
			}
			return nil
		})
	}
	add(func() (string, error) { b, err := json.Marshal(v); return string(b), err })
	add(func() (string, error) { return fmt.Sprintf("%+v", v), nil })
	switch v := v.(type) {
	case error:
		add(func() (string, error) { return v.Error(), nil })
	case encoding.TextMarshaler:
		add(func() (string, error) { b, err := v.MarshalText(); return string(b), err })
	case []byte:
		texts = append(texts, string(v))
	}
	return texts
}
