package wiretype

import "go/types"

// receiver says for which values of a type encoding/json finds a method.
type receiver int

const (
	none      receiver = iota
	onPointer          // only for addressable values
	onValue            // everywhere
)

// method is one of the methods by which a type encodes or decodes itself.
type method struct {
	name     string
	receiver receiver
	from     *types.Var // the embedded field it comes from, if any
}

func (m method) there() bool { return m.receiver != none }

// methods are all of a type's encoding and decoding methods. Go 1.26 has none
// that write to an encoder and read from a decoder.
type methods struct {
	marshalTo, unmarshalFrom   method
	marshalJSON, unmarshalJSON method
	marshalText, unmarshalText method
}

func methodsOf(t types.Type) methods {
	return methods{
		marshalTo:     find(t, "MarshalJSONTo", isStreaming("Encoder")),
		unmarshalFrom: find(t, "UnmarshalJSONFrom", isStreaming("Decoder")),
		marshalJSON:   find(t, "MarshalJSON", isMarshal),
		unmarshalJSON: find(t, "UnmarshalJSON", isUnmarshal),
		marshalText:   find(t, "MarshalText", isMarshal),
		unmarshalText: find(t, "UnmarshalText", isUnmarshal),
	}
}

// any reports whether the type has any of the methods.
func (m *methods) any() bool { return m.json() || m.text() }

// json reports whether the type has a method for JSON.
func (m *methods) json() bool {
	return m.marshalTo.there() || m.unmarshalFrom.there() || m.marshalJSON.there() || m.unmarshalJSON.there()
}

// text reports whether the type has a method for text.
func (m *methods) text() bool { return m.marshalText.there() || m.unmarshalText.there() }

// codec returns the two methods that encoding/json uses for a value: those for
// text count only without any for JSON.
func (m *methods) codec() (encode, decode method) {
	if !m.json() {
		return m.marshalText, m.unmarshalText
	}
	encode, decode = m.marshalJSON, m.unmarshalJSON
	if m.marshalTo.there() {
		encode = m.marshalTo
	}
	if m.unmarshalFrom.there() {
		decode = m.unmarshalFrom
	}
	return encode, decode
}

// Encodes reports whether a type is known, or has methods of its own for the wire,
// so that its declaration says nothing.
func Encodes(t types.Type) bool {
	if _, ok := wellKnown[qualified(t)]; ok {
		return true
	}
	m := methodsOf(t)
	return m.any()
}

func find(t types.Type, name string, signature func(*types.Signature) bool) method {
	m := method{name: name}
	if types.IsInterface(t) {
		return m
	}
	obj, index, indirect := types.LookupFieldOrMethod(t, false, nil, name)
	m.receiver = onValue
	if obj == nil && indirect {
		obj, index, _ = types.LookupFieldOrMethod(t, true, nil, name)
		m.receiver = onPointer
	}
	f, ok := obj.(*types.Func)
	if !ok || !signature(f.Signature()) {
		return method{name: name}
	}
	if s, ok := t.Underlying().(*types.Struct); ok && len(index) > 1 {
		m.from = s.Field(index[0])
	}
	return m
}

// isMarshal reports whether s is func() ([]byte, error).
func isMarshal(s *types.Signature) bool {
	return s.Params().Len() == 0 && s.Results().Len() == 2 &&
		isBytes(s.Results().At(0).Type()) && isError(s.Results().At(1).Type())
}

// isUnmarshal reports whether s is func([]byte) error.
func isUnmarshal(s *types.Signature) bool {
	return s.Params().Len() == 1 && s.Results().Len() == 1 &&
		isBytes(s.Params().At(0).Type()) && isError(s.Results().At(0).Type())
}

// isStreaming returns a function that reports whether a signature is
// func(*jsontext.T) error.
func isStreaming(name string) func(*types.Signature) bool {
	return func(s *types.Signature) bool {
		if s.Params().Len() != 1 || s.Results().Len() != 1 || !isError(s.Results().At(0).Type()) {
			return false
		}
		p, ok := types.Unalias(s.Params().At(0).Type()).(*types.Pointer)
		return ok && qualified(p.Elem()) == "encoding/json/jsontext."+name
	}
}

// isValidate reports whether s is func() error.
func isValidate(s *types.Signature) bool {
	return s.Params().Len() == 0 && s.Results().Len() == 1 && isError(s.Results().At(0).Type())
}

// isZero reports whether s is func() bool.
func isZero(s *types.Signature) bool {
	return s.Params().Len() == 0 && s.Results().Len() == 1 &&
		types.Identical(s.Results().At(0).Type(), types.Typ[types.Bool])
}

func isBytes(t types.Type) bool {
	return types.Identical(t, types.NewSlice(types.Typ[types.Byte]))
}

func isError(t types.Type) bool {
	return types.Identical(t, types.Universe.Lookup("error").Type())
}

const ownBoth = "give it both, the one that encodes with a value receiver, the one that decodes with a pointer receiver"

// marshaler reports whether t encodes or decodes itself, and faults of that.
// behind says that the values are behind a pointer.
func (c *checker) marshaler(t types.Type, behind bool, path string) bool {
	m := methodsOf(t)
	if _, pointer := t.Underlying().(*types.Pointer); pointer || !m.any() {
		return false // encoding/json looks at a pointer's target
	}
	encode, decode := m.codec()
	switch {
	case !encode.there():
		c.report(path, ownBoth, "%s has %s but no %s", c.name(t), decode.name, encode.name)
	case !decode.there():
		c.report(path, ownBoth, "%s has %s but no %s", c.name(t), encode.name, decode.name)
	case encode.from != decode.from:
		c.report(path, ownBoth, "%s and %s of %s are not from the same type: the one does not read what the other writes",
			encode.name, decode.name, c.name(t))
	case encode.from != nil:
		c.promoted(t, encode, behind, path)
	case decode.receiver == onValue:
		c.report(path, ownBoth, "%s of %s has a value receiver, so what it reads is lost", decode.name, c.name(t))
	case encode.receiver == onPointer && !behind:
		c.report(path, "use *"+c.name(t)+", or give "+encode.name+" a value receiver",
			"%s of %s has a pointer receiver, so encoding/json does not always use it", encode.name, c.name(t))
	default:
		add(&c.limits.Trusted, c.name(t))
	}
	return true
}

// promoted reports structs that encode themselves by an embedded field's
// method, which loses the other fields.
func (c *checker) promoted(t types.Type, encode method, behind bool, path string) {
	s := t.Underlying().(*types.Struct)
	_, isNamed := t.(*types.Named)
	_, pointer := types.Unalias(encode.from.Type()).(*types.Pointer)
	switch {
	case s.NumFields() > 1:
		c.report(path, "name the field, or give the struct methods of its own",
			"%s encodes itself by %s of its embedded field %s, which leaves out the others",
			c.name(t), encode.name, encode.from.Name())
	case pointer:
		c.report(path, "embed it without the pointer, or name the field",
			"%s of the embedded pointer %s panics when it is nil", encode.name, encode.from.Name())
	case !isNamed && !behind:
		c.report(path, "give the struct type a name, or name the field",
			"%s has no name, so encoding/json does not find the methods of its embedded field %s when it decodes",
			c.name(t), encode.from.Name())
	default:
		c.value(encode.from.Type(), behind, path)
	}
}
