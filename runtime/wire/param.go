package wire

// Param is one parameter of a task on the wire.
type Param struct {
	Name string
	// Sig is the fingerprint of the type, without spaces. Types of the same
	// fingerprint read each other's values.
	Sig string
	// Optional: an older task may lack the parameter, which is then the zero
	// value.
	Optional bool
	// Redact: the value is never shown in a log, an error, a span, an event or
	// a record, nor in a record's result and tags. The value, its fields,
	// elements and lines are looked for in the forms that fmt, encoding/json,
	// net/url and html write, and as bytes in hex and base64, in upper and
	// lower case.
	//
	// Not looked for are strings of less than 4 bytes, lines of less than 8,
	// numbers of less than 4 digits, and parts of a value other than its first
	// 64 bytes. If the arguments have more than 10,000 values, no text is shown
	// at all. Of a text over 32 KiB only the beginning is shown. The value is
	// stored as it is; a hook.Codec can encrypt it there.
	Redact bool
	// Inline: the fields of the value are the arguments, with no key for the value
	// itself. It is the task's only parameter, and a struct. Secret are the keys of its
	// fields that are redacted, all of them where Redact is true.
	Inline bool
	Secret []string
}

// Key returns the parameter's name in a signature: "*" of one that is all of the
// arguments, which has no name on the wire.
func (p *Param) Key() string {
	if p.Inline {
		return "*"
	}
	return p.Name
}

// inline reports whether the arguments are one value.
func inline(params []Param) bool { return len(params) == 1 && params[0].Inline }

// Void is the result of a task without one.
type Void struct{}
