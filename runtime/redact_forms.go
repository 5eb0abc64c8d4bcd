package runtime

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// leastBytes is how long a secret is that is also looked for as bytes: what is
// shorter would be found in other text.
const leastBytes = 4

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
			d.secrets = append(d.secrets, inQuotes(string(raw)))
			d.addText(s)
		}
	case 't', 'f', 'n': // true, false, null say nothing
	default:
		d.addNumber(string(raw))
	}
}

// addKeys notes the keys of a map.
func (d *redactor) addKeys(raw json.RawMessage) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	for key := range m {
		if key != "" {
			d.addText(key)
		}
	}
}

// addText notes a string, which may stand for a time, or for bytes in base64.
func (d *redactor) addText(s string) {
	d.secrets = append(d.secrets, s, inQuotes(strconv.Quote(s)), inQuotes(strconv.QuoteToASCII(s)),
		url.QueryEscape(s), url.PathEscape(s))
	d.addBytes([]byte(s))
	if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) >= leastBytes {
		if utf8.Valid(b) {
			d.secrets = append(d.secrets, string(b))
		}
		d.addBytes(b)
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		d.secrets = append(d.secrets, t.String(), t.Format(time.DateOnly),
			t.UTC().Format(time.DateOnly), t.Local().Format(time.DateOnly))
	}
}

// addBytes notes the forms that bytes have in text.
func (d *redactor) addBytes(b []byte) {
	if len(b) < leastBytes {
		return
	}
	x := hex.EncodeToString(b)
	d.secrets = append(d.secrets, x, strings.ToUpper(x), inQuotes(strconv.Quote(string(b))), inQuotes(fmt.Sprintf("%d", b)),
		base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b))
}

// addNumber notes a number, which may be a time.Duration.
func (d *redactor) addNumber(s string) {
	d.secrets = append(d.secrets, s)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		d.secrets = append(d.secrets, time.Duration(n).String())
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		d.secrets = append(d.secrets, strconv.FormatFloat(f, 'g', -1, 64), strconv.FormatFloat(f, 'f', -1, 64))
	}
}

// inQuotes returns what is between the quotes, or the brackets, of s.
func inQuotes(s string) string { return s[1 : len(s)-1] }

// forms returns the texts that handlers of logs make of a value: slog's own
// print an error, a TextMarshaler and a []byte each in its way, and other
// handlers any value as JSON. A method of the user's that panics has no text.
func forms(v any) []string {
	texts := []string{printValue(v)}
	add := func(f func() (string, error)) {
		_ = safely(func() error {
			s, err := f()
			if err == nil {
				texts = append(texts, s)
			}
			return nil
		})
	}
	add(func() (string, error) { b, err := json.Marshal(v); return string(b), err })
	add(func() (string, error) { return fmt.Sprintf("%+v", v), nil })
	switch v := v.(type) {
	case error:
		add(func() (string, error) { return v.Error(), nil })
	case encoding.TextMarshaler:
		add(func() (string, error) { b, err := v.MarshalText(); return string(b), err })
	case []byte:
		texts = append(texts, string(v))
	}
	return texts
}
