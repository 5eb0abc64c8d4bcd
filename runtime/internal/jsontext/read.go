// Package jsontext reads and writes the strings and numbers of JSON, more
// strictly than encoding/json.
package jsontext

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Span is the place of a string in the JSON that is read.
type Span struct {
	Start, End int
	Escaped    bool // a string with escapes
}

// Text reads the strings of JSON.
type Text struct {
	Data     []byte
	Replaced bool // a string held U+FFFD
}

// SkipSpace returns the place of the first byte from i on that is no white space.
func SkipSpace(data []byte, i int) int {
	for i < len(data) && data[i] <= ' ' && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// Unquote returns the string at s.
func (c *Text) Unquote(s Span) string {
	raw := c.Data[s.Start+1 : s.End-1]
	if s.Escaped {
		return string(AppendUnquoted(nil, raw))
	}
	return string(raw)
}

// String checks the string whose opening quote is at i.
func (c *Text) String(i int) (s Span, bad string) {
	data := c.Data
	s = Span{Start: i, End: i}
	if i >= len(data) || data[i] != '"' {
		return s, BadSyntax
	}
	for i++; i < len(data); {
		switch b := data[i]; {
		case b == '"':
			s.End = i + 1
			return s, ""
		case b == '\\':
			s.Escaped = true
			n, bad := c.escape(i)
			if bad != "" {
				return s, bad
			}
			i += n
		case b < ' ':
			return s, BadSyntax
		case b < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError {
				if size == 1 {
					return s, BadUTF8
				}
				c.Replaced = true
			}
			i += size
		}
	}
	return s, BadSyntax
}

// escape checks the escape at i and returns its length.
func (c *Text) escape(i int) (n int, bad string) {
	if i+1 >= len(c.Data) {
		return 0, BadSyntax
	}
	switch c.Data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
	default:
		return 0, BadSyntax
	}
	r := HexRune(c.Data, i)
	switch {
	case r < 0:
		return 0, BadSyntax
	case utf16.IsSurrogate(r):
		if utf16.DecodeRune(r, HexRune(c.Data, i+6)) == utf8.RuneError {
			return 0, BadUTF8
		}
		return 12, ""
	case r == utf8.RuneError:
		c.Replaced = true
	}
	return 6, ""
}

// HexRune returns the rune of the escape \uXXXX at i, or -1.
func HexRune(data []byte, i int) rune {
	if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
		return -1
	}
	var r rune
	for _, b := range data[i+2 : i+6] {
		switch {
		case '0' <= b && b <= '9':
			b -= '0'
		case 'a' <= b && b <= 'f':
			b -= 'a' - 10
		case 'A' <= b && b <= 'F':
			b -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(b)
	}
	return r
}

// AppendUnquoted appends the text of the checked string between quotes.
func AppendUnquoted(b, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			next := bytes.IndexByte(raw[i:], '\\')
			if next < 0 {
				return append(b, raw[i:]...)
			}
			b = append(b, raw[i:i+next]...)
			i += next
			continue
		}
		switch e := raw[i+1]; e {
		case 'u':
			r := HexRune(raw, i)
			if i += 6; utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, HexRune(raw, i))
				i += 6
			}
			b = utf8.AppendRune(b, r)
			continue
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		default:
			b = append(b, e)
		}
		i += 2
	}
	return b
}

// Number returns the end of the number at i, and whether it is written
// without fraction and exponent.
func Number(data []byte, i int) (end int, integer, ok bool) {
	digits := func() bool {
		start := i
		for i < len(data) && '0' <= data[i] && data[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(data) && data[i] == '-' {
		i++
	}
	if i < len(data) && data[i] == '0' {
		i++
	} else if !digits() {
		return i, false, false
	}
	integer = true
	if i < len(data) && data[i] == '.' {
		integer = false
		if i++; !digits() {
			return i, false, false
		}
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		integer = false
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		if !digits() {
			return i, false, false
		}
	}
	return i, integer, true
}
