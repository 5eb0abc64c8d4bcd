package runtime

import (
	"regexp"
	"strings"
)

// structName matches the name of a struct before the hash of its shape.
var structName = regexp.MustCompile(`[\pL\pN_]+:`)

// fingerprint is the fingerprint of a type, in its parts. One of a struct with
// omitempty or omitzero fields ends with a hash of the struct without these, and
// with the fields by their paths:
//
//	Order:9f86d081{1a2b3c4d;coupon=string;items[].gift=bool}
type fingerprint struct {
	name   string // for people
	exact  string // without the names of structs: a renamed struct reads the same JSON
	loose  string // the same, of the struct without the fields
	fields string // "coupon=string;items[].gift=bool"
}

func parseFingerprint(sig string) fingerprint {
	f := fingerprint{name: sig}
	list, grown := "", false
	if name, rest, ok := strings.Cut(sig, "{"); ok {
		if list, grown = strings.CutSuffix(rest, "}"); grown {
			f.name = name
		}
	}
	f.exact = structName.ReplaceAllString(f.name, ":")
	f.loose = f.exact
	if grown {
		var hash string
		hash, f.fields, _ = strings.Cut(list, ";")
		f.loose = f.exact[:strings.LastIndexByte(f.exact, ':')+1] + hash
	}
	return f
}

// field returns the shape of the field with the path, if it is listed.
func (f *fingerprint) field(path string) (shape string, ok bool) {
	for field := range strings.SplitSeq(f.fields, ";") {
		if at, shape, _ := strings.Cut(field, "="); at == path {
			return shape, true
		}
	}
	return "", false
}

// fits parks a task whose parameter has the fingerprint theirs, unless it can be
// read by ours. A field that only they have is looked for when the arguments are
// decoded: one that is set parks the task then.
func (f *fingerprint) fits(param string, theirs string) error {
	t := parseFingerprint(theirs)
	if t.exact == f.exact {
		return nil
	}
	if t.loose != f.loose {
		return park("the task was enqueued by another version, with parameter %q of type %s, here %s", param, t.name, f.name)
	}
	for field := range strings.SplitSeq(t.fields, ";") {
		path, was, _ := strings.Cut(field, "=")
		if is, ok := f.field(path); ok && is != was {
			return park("the task was enqueued by another version, with %s of parameter %q as %s, here %s", path, param, was, is)
		}
	}
	return nil
}
