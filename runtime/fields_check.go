package runtime

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested, as in encoding/json.
const maxDepth = 10000

// What is wrong with JSON, in words that show none of it.
const (
	badSyntax    = "is not valid JSON"
	badUTF8      = "contains a string that is not valid UTF-8"
	badDuplicate = "contains an object with a duplicate key"
	badDepth     = "is nested too deep"
	badNull      = "is or contains null where that means nothing"
	badLoop      = "contains a value that JSON cannot hold, or itself"
	badLength    = "contains an array of another length"
)

// span is where something is in the JSON that is read.
type span struct {
	start, end int
	escaped    bool // a string with escapes
}

// jsonChecker checks JSON more strictly than encoding/json: no duplicate keys,
// no string that is not UTF-8 and no half of a surrogate pair, all of which
// encoding/json changes silently.
type jsonChecker struct {
	data     []byte
	depth    int
	keys     []span // of the objects around the current position
	replaced bool   // a string held U+FFFD
	nulls    bool   // there was a null
	lenient  bool   // keys of no field are allowed
}

func (c *jsonChecker) reset(data []byte) {
	c.data, c.keys = data, c.keys[:0]
	c.depth, c.replaced, c.nulls, c.lenient = 0, false, false, false
}

// large reports whether c holds more memory than is worth keeping.
func (c *jsonChecker) large() bool { return cap(c.keys) > 1024 }

// space returns the position of the first byte from i on that is not white
// space.
func (c *jsonChecker) space(i int) int { return skipSpace(c.data, i) }

func skipSpace(data []byte, i int) int {
	for i < len(data) && data[i] <= ' ' && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// value checks the value that begins at i, which has the shape, and returns its
// end, or what is wrong with it.
func (c *jsonChecker) value(i int, s *shape) (end int, bad string) {
	if i >= len(c.data) {
		return i, badSyntax
	}
	if s != nil {
		if c.data[i] == 'n' && !s.null {
			return i, badNull
		}
		for s != nil && s.target != nil {
			s = s.target
		}
	}
	switch b := c.data[i]; b {
	case '{', '[':
		if c.depth++; c.depth > maxDepth {
			return i, badDepth
		}
		if b == '{' {
			end, bad = c.object(i+1, s)
		} else {
			end, bad = c.array(i+1, s)
		}
		c.depth--
		return end, bad
	case '"':
		str, bad := c.string(i)
		return str.end, bad
	case 't':
		return c.literal(i, "true")
	case 'f':
		return c.literal(i, "false")
	case 'n':
		c.nulls = true
		return c.literal(i, "null")
	}
	end, _, ok := scanNumber(c.data, i)
	if !ok {
		return i, badSyntax
	}
	return end, ""
}

func (c *jsonChecker) literal(i int, word string) (end int, bad string) {
	if end = i + len(word); end > len(c.data) || string(c.data[i:end]) != word {
		return i, badSyntax
	}
	return end, ""
}

// array checks an array from behind its bracket.
func (c *jsonChecker) array(i int, s *shape) (end int, bad string) {
	var elem *shape
	length := -1
	if s != nil {
		elem, length = s.elem, s.length
	}
	if i = c.space(i); i < len(c.data) && c.data[i] == ']' {
		if length > 0 {
			return i, badLength
		}
		return i + 1, ""
	}
	for n := 1; ; n++ {
		if i, bad = c.value(c.space(i), elem); bad != "" {
			return i, bad
		}
		if i = c.space(i); i >= len(c.data) {
			return i, badSyntax
		}
		switch c.data[i] {
		case ',':
			i++
		case ']':
			if length >= 0 && n != length {
				return i, badLength
			}
			return i + 1, ""
		default:
			return i, badSyntax
		}
	}
}

// object checks an object from behind its brace.
func (c *jsonChecker) object(i int, s *shape) (end int, bad string) {
	if i = c.space(i); i < len(c.data) && c.data[i] == '}' {
		return i + 1, ""
	}
	seen := keySet{checker: c, base: len(c.keys)}
	defer seen.close()
	for {
		key, bad := c.string(c.space(i))
		if bad != "" {
			return key.end, bad
		}
		if !seen.add(key) {
			return key.end, badDuplicate
		}
		if i = c.space(key.end); i >= len(c.data) || c.data[i] != ':' {
			return i, badSyntax
		}
		member, bad := c.member(key, s)
		if bad != "" {
			return i, bad
		}
		if i, bad = c.value(c.space(i+1), member); bad != "" {
			return i, bad
		}
		if i = c.space(i); i >= len(c.data) {
			return i, badSyntax
		}
		switch c.data[i] {
		case ',':
			i++
		case '}':
			return i + 1, ""
		default:
			return i, badSyntax
		}
	}
}

// member returns the shape of the member with the key, of an object of shape s.
func (c *jsonChecker) member(key span, s *shape) (member *shape, bad string) {
	switch {
	case s == nil:
		return nil, ""
	case s.fields == nil:
		return s.elem, ""
	case key.escaped:
		return s.field([]byte(c.text(key)), c.lenient)
	}
	return s.field(c.data[key.start+1:key.end-1], c.lenient)
}

// keySet is the keys of one object: a few on the checker's stack, many in a
// map.
type keySet struct {
	checker *jsonChecker
	base    int
	many    map[string]struct{}
}

// manyKeys is where comparing keys one by one becomes slower than a map.
const manyKeys = 24

// add adds a key and reports whether it is new.
func (k *keySet) add(key span) bool {
	c := k.checker
	if k.many != nil {
		n := len(k.many)
		k.many[c.text(key)] = struct{}{}
		return len(k.many) > n
	}
	for _, other := range c.keys[k.base:] {
		if c.equal(key, other) {
			return false
		}
	}
	c.keys = append(c.keys, key)
	if len(c.keys)-k.base > manyKeys {
		k.many = make(map[string]struct{}, 4*manyKeys)
		for _, other := range c.keys[k.base:] {
			k.many[c.text(other)] = struct{}{}
		}
	}
	return true
}

func (k *keySet) close() { k.checker.keys = k.checker.keys[:k.base] }

// text returns the string at s.
func (c *jsonChecker) text(s span) string {
	raw := c.data[s.start+1 : s.end-1]
	if s.escaped {
		return string(appendUnquoted(nil, raw))
	}
	return string(raw)
}

func (c *jsonChecker) equal(a, b span) bool {
	if a.escaped || b.escaped {
		return c.text(a) == c.text(b)
	}
	return bytes.Equal(c.data[a.start:a.end], c.data[b.start:b.end])
}

// string checks the string whose opening quote is at i.
func (c *jsonChecker) string(i int) (s span, bad string) {
	data := c.data
	s = span{start: i, end: i}
	if i >= len(data) || data[i] != '"' {
		return s, badSyntax
	}
	for i++; i < len(data); {
		switch b := data[i]; {
		case b == '"':
			s.end = i + 1
			return s, ""
		case b == '\\':
			s.escaped = true
			n, bad := c.escape(i)
			if bad != "" {
				return s, bad
			}
			i += n
		case b < ' ':
			return s, badSyntax
		case b < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError {
				if size == 1 {
					return s, badUTF8
				}
				c.replaced = true
			}
			i += size
		}
	}
	return s, badSyntax
}

// escape checks the escape at i and returns its length.
func (c *jsonChecker) escape(i int) (n int, bad string) {
	if i+1 >= len(c.data) {
		return 0, badSyntax
	}
	switch c.data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
	default:
		return 0, badSyntax
	}
	r := hexRune(c.data, i)
	switch {
	case r < 0:
		return 0, badSyntax
	case utf16.IsSurrogate(r):
		if utf16.DecodeRune(r, hexRune(c.data, i+6)) == utf8.RuneError {
			return 0, badUTF8
		}
		return 12, ""
	case r == utf8.RuneError:
		c.replaced = true
	}
	return 6, ""
}

// hexRune returns the rune of the escape \uXXXX at i, or -1.
func hexRune(data []byte, i int) rune {
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

// appendUnquoted appends what the checked string between quotes means.
func appendUnquoted(b, raw []byte) []byte {
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
			r := hexRune(raw, i)
			if i += 6; utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, hexRune(raw, i))
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

// scanNumber returns the end of the number at i, and whether it is written
// without fraction and exponent.
func scanNumber(data []byte, i int) (end int, integer, ok bool) {
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
