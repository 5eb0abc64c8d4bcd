package runtime

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/jsontext"
	"github.com/taskctx/taskctx/runtime/wire"
)

// noted is the value of a step's or signal's entry, before the codec.
type noted struct {
	Name  string          `json:"name"`
	Type  string          `json:"type"` // the fingerprint
	Value json.RawMessage `json:"value,omitempty"`
}

// driftError says that a value was recorded as another type.
type driftError struct{ was, is string }

func (e *driftError) Error() string {
	return fmt.Sprintf("it was recorded as %s, here it is %s: the way out is another name", e.was, e.is)
}

// checkType refuses types of which JSON leaves something out, since the run that
// has made a value would go on with another one than those after it.
func checkType[T any]() error {
	t := reflect.TypeFor[T]()
	if l := wire.LossesOf(t); l.Lost != "" {
		return Permanent(fmt.Errorf("a value of type %s does not come back from JSON: %s", t, l.Lost))
	}
	return nil
}

// note encodes a value that was encoded as raw.
func note[T any](name string, raw json.RawMessage) (json.RawMessage, error) {
	typ := wire.Fingerprint(reflect.TypeFor[T]())
	b := make([]byte, 0, len(`{"name":"","type":"","value":}`)+len(name)+len(typ)+len(raw))
	b, named := jsontext.AppendQuoted(append(b, `{"name":`...), name)
	b, typed := jsontext.AppendQuoted(append(b, `,"type":`...), typ)
	if !named || !typed {
		return nil, fmt.Errorf("%q, of %q, is not UTF-8", name, typ)
	}
	if len(raw) > 0 {
		b = append(append(b, `,"value":`...), raw...)
	}
	return append(b, '}'), nil
}

// readNote undoes note.
func readNote[T any](name string, plain json.RawMessage) (T, error) {
	var none T
	var n noted
	if err := json.Unmarshal(plain, &n); err != nil {
		return none, err
	}
	if n.Name != name {
		return none, fmt.Errorf("it was recorded as %q", n.Name)
	}
	is := wire.Fingerprint(reflect.TypeFor[T]())
	if parseFingerprint(n.Type).exact != parseFingerprint(is).exact {
		return none, &driftError{n.Type, is}
	}
	if len(n.Value) == 0 {
		return none, nil
	}
	return wire.DecodeAs[T](n.Value)
}

// signalMessage returns the message that a codec binds signals to.
func signalMessage(name string, id uuid.UUID) *engine.Message {
	m := &engine.Message{Name: name}
	m.Meta.Headers = map[string]string{bindingHeader: id.String()}
	return m
}

// childMessage returns the message that a codec has bound a child's result and
// reason to.
func childMessage(e *engine.JournalEntry) *engine.Message {
	var v childValue
	_ = json.Unmarshal(e.Value, &v) // the App wrote it: an unreadable value is bound to nothing
	m := &engine.Message{Name: v.Task}
	m.Meta.Headers = map[string]string{bindingHeader: v.Binding}
	return m
}

// sealNote applies the codec.
func (a *App) sealNote(m *engine.Message, p hook.Part, plain json.RawMessage) (json.RawMessage, error) {
	if a.cfg.Codec != nil {
		var err error
		if plain, err = a.encodePart(m, p, plain); err != nil {
			return nil, err
		}
	}
	return plain, a.checkSize(plain)
}

// openNote undoes sealNote. The codec may panic.
func (a *App) openNote(m *engine.Message, p hook.Part, stored json.RawMessage) (plain json.RawMessage, err error) {
	if a.cfg.Codec == nil {
		return stored, nil
	}
	err = guard.Call(func() (err error) {
		plain, err = a.decodePart(m, p, stored)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	return plain, nil
}
