package runtime

import (
	"encoding/json"
	"github.com/taskctx/taskctx/runtime/engine"
	"slices"
	"strings"
)

// redacted stands in place of a value that must not be shown.
const redacted = "[redacted]"

// maxRedactedText bounds, in bytes, a text that is searched for secrets. Of a
// longer one the rest is not shown.
const maxRedactedText = 32 << 10

// redactor removes the values of redacted parameters from text. Nil removes
// nothing.
type redactor struct {
	secrets secrets
	all     bool // the values are not known, or too many: nothing may be shown
}

// redactor returns the run's, made when first needed.
func (r *run) redactor() *redactor {
	if len(r.msg.Meta.Redact) == 0 && len(r.reg.def.derive().redact) == 0 {
		return nil
	}
	x := r.more()
	x.redactOnce.Do(func() { x.redactWith = r.app.redactorOf(r.msg, r.reg.def.derive()) })
	return x.redactWith
}

// redactorOf returns the redactor of a message, nil if it has nothing to redact.
// s is the task as it is registered here, nil if it is not.
func (a *App) redactorOf(m *engine.Message, s *wireSpec) *redactor {
	names, signature := m.Meta.Redact, m.Meta.Signature
	if s != nil {
		names = slices.Concat(names, s.redact)
		if signature == "" { // of a foreign producer
			signature = s.signature
		}
	}
	if len(names) == 0 {
		return nil
	}
	if len(m.Args) > a.cfg.MaxPayload {
		return &redactor{all: true}
	}
	args := m.Args
	if a.cfg.Codec != nil { // the user's
		err := isolated(func() (err error) {
			args, err = a.decodeArgs(m)
			return err
		})
		if err != nil {
			return &redactor{all: true}
		}
	}
	return newRedactor(args, signature, names)
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

// Redact returns text without the values of the call's redacted parameters, as
// [Context.Redact] does.
func (c AnyCall) Redact(text string) string {
	if c.def == nil || len(c.def.derive().redact) == 0 {
		return text
	}
	return newRedactor(c.args, c.def.derive().signature, c.def.derive().redact).clean(text)
}

// newRedactor returns the redactor of arguments, for the parameters with the
// names.
func newRedactor(args json.RawMessage, signature string, names []string) *redactor {
	d := new(redactor)
	d.all = !d.secrets.collect(args, func(param string) (secret, keys bool) {
		secret = slices.Contains(names, param)
		return secret, secret && isMap(signature, param)
	})
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
	if len(d.secrets.keys) == 0 {
		return s
	}
	return d.secrets.replace(s)
}

// cleanShown is clean for a text that was cleaned when it was made, but perhaps
// by a version that looked for less, or that an operator wrote.
func (d *redactor) cleanShown(s string) string {
	if d == nil || d.all {
		return s
	}
	return d.clean(s)
}

// cleanTags returns the tags without secrets: the same map if they hold none.
// When nothing may be shown the keys are.
func (d *redactor) cleanTags(tags map[string]string) map[string]string {
	if d == nil || len(tags) == 0 {
		return tags
	}
	clean, found := make(map[string]string, len(tags)), false
	for k, v := range tags {
		ck, cv := d.cleanShown(k), d.clean(v)
		found = found || ck != k || cv != v
		clean[ck] = cv
	}
	if !found {
		return tags
	}
	return clean
}

// cleanJSON replaces secrets in the strings and numbers of a JSON value, and
// the whole value if they are in it in another way.
func (d *redactor) cleanJSON(raw json.RawMessage) json.RawMessage {
	if d == nil || len(raw) == 0 {
		return raw
	}
	quoted := json.RawMessage(`"` + redacted + `"`)
	if d.all || len(raw) > maxRedactedText && !d.secrets.none() {
		return quoted
	}
	text := string(raw)
	if d.clean(text) == text {
		return raw
	}
	c := jsonChecker{data: raw}
	var out []byte
	for i := 0; i < len(raw); {
		start := i
		switch b := raw[i]; {
		case b == '"':
			s, bad := c.string(i)
			if bad != "" {
				return quoted
			}
			i = s.end
			value := c.text(s)
			if clean := d.clean(value); clean != value {
				out, _ = appendQuoted(out, clean)
				continue
			}
		case b == '-' || '0' <= b && b <= '9':
			end, _, ok := scanNumber(raw, i)
			if !ok {
				return quoted
			}
			i = end
			if number := string(raw[start:i]); d.clean(number) != number {
				out = append(out, quoted...)
				continue
			}
		default:
			i++
		}
		out = append(out, raw[start:i]...)
	}
	if text = string(out); strings.ReplaceAll(d.clean(text), redacted, "") != strings.ReplaceAll(text, redacted, "") {
		return quoted
	}
	return out
}

// redactedArgs returns the arguments with the values of redacted parameters
// replaced: those that the message names, and more.
func redactedArgs(m *engine.Message, more []string) json.RawMessage {
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
