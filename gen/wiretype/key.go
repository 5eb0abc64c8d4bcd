package wiretype

import "go/types"

// key reports faults of keys of type t.
func (c *checker) key(t types.Type, path string) {
	if w := wellKnown[qualified(t)]; w.key != "" {
		c.report(path, w.fix, "%s %s", c.name(t), w.key)
		return
	}
	t = types.Unalias(t)
	m := methodsOf(t)
	basic, _ := t.Underlying().(*types.Basic)
	const fix = "use a string or an integer as the key"
	switch {
	case basic != nil && basic.Info()&types.IsString != 0:
		if m.text() {
			c.report(path, fix, "encoding/json writes the key %s as it is, but reads it by UnmarshalText", c.name(t))
		}
	case m.text():
		c.textKey(t, &m, path)
	case basic == nil || basic.Info()&types.IsInteger == 0 || basic.Kind() == types.Uintptr:
		c.report(path, fix, "JSON has no keys of type %s", c.name(t))
	}
}

// textKey reports faults of keys that encode themselves as text.
func (c *checker) textKey(t types.Type, m *methods, path string) {
	fix := "give it both, MarshalText with a value receiver and UnmarshalText with a pointer receiver"
	fault := ""
	switch {
	case !m.marshalText.there():
		fault = "has UnmarshalText but no MarshalText"
	case !m.unmarshalText.there():
		fault = "has MarshalText but no UnmarshalText"
	case m.marshalText.from != nil || m.unmarshalText.from != nil:
		fault = "has text methods of an embedded field, which may leave out others"
		fix = "give it text methods of its own"
	case hasPointer(t):
		fault = "holds a pointer, which is another one when it comes back, so that the key is another one"
		fix = "use its text as the key"
	case m.marshalText.receiver == onPointer:
		fault = "has MarshalText on its pointer, which keys do not use"
	case m.unmarshalText.receiver == onValue:
		fault = "has UnmarshalText on its value, so what it reads is lost"
	}
	if fault != "" {
		c.report(path, fix, "the key %s %s", c.name(t), fault)
	}
}

// hasPointer reports whether two keys of type t with one text may differ,
// since they contain a pointer, an interface or a channel.
func hasPointer(t types.Type) bool {
	if wellKnown[qualified(t)].goodKey {
		return false
	}
	switch u := types.Unalias(t).Underlying().(type) {
	case *types.Pointer, *types.Interface, *types.Chan:
		return true
	case *types.Array:
		return hasPointer(u.Elem())
	case *types.Struct:
		for f := range u.Fields() {
			if hasPointer(f.Type()) {
				return true
			}
		}
	}
	return false
}
