package wire

// Param is one parameter of a task on the wire.
type Param struct {
	Name string
	// Sig is the fingerprint of the type, without spaces: types of the same
	// fingerprint read each other's values.
	Sig string
	// Optional: an older task may lack it, and it is then the zero value.
	Optional bool
	// Redact: its value is never shown in a log, an error, a span, an event or a
	// record, nor in the result and the tags that a record shows. The value, its
	// fields, elements and lines are looked for in the text as fmt, encoding/json,
	// net/url and html write them, and as bytes in hex and base64, whatever the
	// case of their letters. Not looked for are strings of less than 4 bytes,
	// lines of less than 8, numbers of less than 4 digits, and parts of a value,
	// but for its first 64 bytes. Of arguments with more than 10,000 values no
	// text is shown at all, and of a text over 32 KiB only the beginning. The
	// value is stored as it is: to encrypt what is stored is for a runtime.Codec.
	Redact bool
}

// Void is the result of a task that has none.
type Void struct{}
