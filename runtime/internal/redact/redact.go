// Package redact removes the values of redacted parameters from text, in
// whatever form the text holds them.
package redact

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// Cut returns at most n bytes of s, ending at a whole rune.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Mark stands in place of a value that must not be shown.
const Mark = "[redacted]"

// maxText bounds, in bytes, how much of a text is searched for secrets. The
// rest is not shown.
const maxText = 32 << 10

// Redactor removes the values of redacted parameters from text. Nil removes
// nothing.
type Redactor struct {
	secrets secrets
	All     bool // the values are not known, or too many: nothing may be shown
}

// New returns the redactor of arguments, for the named parameters.
func New(args json.RawMessage, signature string, names []string) *Redactor {
	d := new(Redactor)
	d.All = !d.secrets.collect(args, func(param string) (secret, keys bool) {
		secret = slices.Contains(names, param)
		return secret, secret && isMap(signature, param)
	})
	return d
}

// isMap reports whether a parameter is a map: its keys are the user's values,
// while the keys of other objects are names of fields.
func isMap(signature, param string) bool {
	for field := range strings.FieldsSeq(signature) {
		if name, typ, _ := strings.Cut(field, ":"); name == param {
			return strings.HasPrefix(typ, "map[")
		}
	}
	return false
}

// Clean replaces every secret in the text.
func (d *Redactor) Clean(s string) string {
	if d == nil || s == "" {
		return s
	}
	if d.All {
		return Mark
	}
	if len(d.secrets.keys) == 0 {
		return s
	}
	return d.secrets.replace(s)
}

// CleanShown is Clean for a text that was cleaned when it was made: perhaps by
// a version that looked for less, and perhaps edited by an operator since.
func (d *Redactor) CleanShown(s string) string {
	if d == nil || d.All {
		return s
	}
	return d.Clean(s)
}

// Tags returns the tags without secrets: the same map if they hold none. If
// d.All is set, it shows only the keys.
func (d *Redactor) Tags(tags map[string]string) map[string]string {
	if d == nil || len(tags) == 0 {
		return tags
	}
	clean, found := make(map[string]string, len(tags)), false
	for k, v := range tags {
		ck, cv := d.CleanShown(k), d.Clean(v)
		found = found || ck != k || cv != v
		clean[ck] = cv
	}
	if !found {
		return tags
	}
	return clean
}

// JSON replaces secrets in the strings and numbers of a JSON value. It
// replaces the whole value if secrets are in it in another form.
func (d *Redactor) JSON(raw json.RawMessage) json.RawMessage {
	if d == nil || len(raw) == 0 {
		return raw
	}
	quoted := json.RawMessage(`"` + Mark + `"`)
	if d.All || len(raw) > maxText && !d.secrets.none() {
		return quoted
	}
	text := string(raw)
	if d.Clean(text) == text {
		return raw
	}
	c := jsontext.Text{Data: raw}
	var out []byte
	for i := 0; i < len(raw); {
		start := i
		switch b := raw[i]; {
		case b == '"':
			s, bad := c.String(i)
			if bad != "" {
				return quoted
			}
			i = s.End
			value := c.Unquote(s)
			if clean := d.Clean(value); clean != value {
				out, _ = jsontext.AppendQuoted(out, clean)
				continue
			}
		case b == '-' || '0' <= b && b <= '9':
			end, _, ok := jsontext.Number(raw, i)
			if !ok {
				return quoted
			}
			i = end
			if number := string(raw[start:i]); d.Clean(number) != number {
				out = append(out, quoted...)
				continue
			}
		default:
			i++
		}
		out = append(out, raw[start:i]...)
	}
	if text = string(out); strings.ReplaceAll(d.Clean(text), Mark, "") != strings.ReplaceAll(text, Mark, "") {
		return quoted
	}
	return out
}
