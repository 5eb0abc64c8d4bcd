package runtime

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
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
	if len(r.msg.Meta.Redact) == 0 && len(r.spec.redact) == 0 {
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
		x.redactWith = newRedactor(args, r.msg.Meta.Redact, r.spec.redact)
	})
	return x.redactWith
}

// Redact returns text without the values of the task's redacted parameters: for
// text of a task's error on its way to somewhere that taskctx does not know.
// Outside a task it returns text as it is.
func (c *Context) Redact(text string) string {
	r := c.runOrNil()
	if r == nil {
		return text
	}
	return r.redactor().clean(text)
}

func newRedactor(args json.RawMessage, names ...[]string) *redactor {
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
			}
		}
	}
	// Longer ones first: one value may be a part of another.
	slices.SortFunc(d.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
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

// add notes a JSON value, and what it consists of, in the forms in which they
// appear in text.
func (d *redactor) add(raw json.RawMessage) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return
	}
	switch raw[0] {
	case '{':
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) == nil {
			for _, v := range m {
				d.add(v)
			}
		}
	case '[':
		var l []json.RawMessage
		if json.Unmarshal(raw, &l) == nil {
			for _, v := range l {
				d.add(v)
			}
		}
	case '"':
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			d.secrets = append(d.secrets, s, inQuotes(string(raw)), inQuotes(strconv.Quote(s)))
			// A []byte is in base64, and may be printed as what it holds.
			if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) >= leastBytes && utf8.Valid(b) {
				d.secrets = append(d.secrets, string(b))
			}
		}
	case 't', 'f', 'n': // true, false, null say nothing
	default:
		d.secrets = append(d.secrets, string(raw))
	}
}

// leastBytes is how long a secret []byte is that is looked for as text.
const leastBytes = 4

// inQuotes returns what is between the quotes of s.
func inQuotes(s string) string { return s[1 : len(s)-1] }

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
