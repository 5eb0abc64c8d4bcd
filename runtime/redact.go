package runtime

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// redacted stands in place of a value that must not be shown.
const redacted = "[redacted]"

// redactor removes the values of redacted parameters from text. Nil removes
// nothing.
type redactor struct {
	secrets  []string
	replacer *strings.Replacer // of the secrets, in one pass; nil if there are none
	all      bool              // the values are not known: nothing may be shown
}

// redactor returns the run's, made when first needed.
func (r *run) redactor() *redactor {
	if len(r.msg.Meta.Redact) == 0 && len(r.reg.def.derive().redact) == 0 {
		return nil
	}
	x := r.more()
	x.redactOnce.Do(func() {
		var args json.RawMessage
		err := isolated(func() (err error) { // the codec is the user's
			args, err = r.app.decodeArgs(r.msg)
			return err
		})
		if err != nil {
			args = nil
		}
		signature := r.msg.Meta.Signature
		if signature == "" { // of a foreign producer
			signature = r.reg.def.derive().signature
		}
		x.redactWith = newRedactor(args, signature, r.msg.Meta.Redact, r.reg.def.derive().redact)
	})
	return x.redactWith
}

// Redact returns text without the values of the task's redacted parameters: for
// text of a task's error on its way to somewhere that taskctx does not know.
// Outside a task it returns text as it is. [Param] says what it looks for.
func (c *Context) Redact(text string) string {
	r := c.runOrNil()
	if r == nil {
		return text
	}
	return r.redactor().clean(text)
}

// newRedactor returns the redactor of a message with the arguments args, for the
// parameters of all lists of names.
func newRedactor(args json.RawMessage, signature string, names ...[]string) *redactor {
	d := new(redactor)
	var fields map[string]json.RawMessage
	if json.Unmarshal(args, &fields) != nil {
		d.all = true
		return d
	}
	for _, list := range names {
		for _, name := range list {
			if raw, ok := fields[name]; ok {
				d.add(raw)
				if isMap(signature, name) {
					d.addKeys(raw)
				}
			}
		}
	}
	// Longer ones first: one value may be a part of another.
	slices.SortFunc(d.secrets, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	d.secrets = slices.Compact(d.secrets)
	if len(d.secrets) == 0 {
		return d
	}
	pairs := make([]string, 0, 2*len(d.secrets))
	for _, secret := range d.secrets {
		pairs = append(pairs, secret, redacted)
	}
	d.replacer = strings.NewReplacer(pairs...)
	return d
}

// isMap reports whether a parameter is a map, whose keys are values of the
// user's: those of other objects are names of fields.
func isMap(signature, param string) bool {
	for field := range strings.FieldsSeq(signature) {
		if name, typ, _ := strings.Cut(field, ":"); name == param {
			return strings.HasPrefix(typ, "map[")
		}
	}
	return false
}

// clean replaces every secret in the text.
func (d *redactor) clean(s string) string {
	if d == nil || s == "" {
		return s
	}
	if d.all {
		return redacted
	}
	if d.replacer == nil {
		return s
	}
	return d.replacer.Replace(s)
}

// redactedArgs returns the arguments with the values of redacted parameters
// replaced: those that the message names, and more.
func redactedArgs(m *Message, more []string) json.RawMessage {
	names := slices.Concat(m.Meta.Redact, more)
	if len(names) == 0 {
		return m.Args
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(m.Args, &fields) != nil {
		return nil // it may be anything: show nothing
	}
	for _, name := range names {
		if _, ok := fields[name]; ok {
			fields[name] = json.RawMessage(`"` + redacted + `"`)
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return b
}
