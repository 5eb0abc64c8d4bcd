package wire

import (
	"bytes"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// maxDepth is how deep JSON may be nested, as in encoding/json.
const maxDepth = 10000

// checker checks JSON more strictly than encoding/json. It refuses duplicate
// keys, strings that are not UTF-8 and halves of surrogate pairs, which
// encoding/json changes silently.
type checker struct {
	jsontext.Text
	depth   int
	keys    []jsontext.Span // of the objects around the current position
	nulls   bool            // there was a null
	lenient bool            // keys of no field are allowed
}

func (c *checker) reset(data []byte) {
	c.Data, c.keys = data, c.keys[:0]
	c.depth, c.Replaced, c.nulls, c.lenient = 0, false, false, false
}

// large reports whether c holds more memory than is worth keeping.
func (c *checker) large() bool { return cap(c.keys) > 1024 }

// space returns the position of the first byte from i on that is not white
// space.
func (c *checker) space(i int) int { return jsontext.SkipSpace(c.Data, i) }

// value checks the value of shape s that begins at i. It returns its end, or
// the fault that it found.
func (c *checker) value(i int, s *shape) (end int, bad string) {
	if i >= len(c.Data) {
		return i, jsontext.BadSyntax
	}
	if s != nil {
		if c.Data[i] == 'n' && !s.null {
			return i, jsontext.BadNull
		}
		for s != nil && s.target != nil {
			s = s.target
		}
	}
	switch b := c.Data[i]; b {
	case '{', '[':
		if c.depth++; c.depth > maxDepth {
			return i, jsontext.BadDepth
		}
		if b == '{' {
			end, bad = c.object(i+1, s)
		} else {
			end, bad = c.array(i+1, s)
		}
		c.depth--
		return end, bad
	case '"':
		str, bad := c.String(i)
		return str.End, bad
	case 't':
		return c.literal(i, "true")
	case 'f':
		return c.literal(i, "false")
	case 'n':
		c.nulls = true
		return c.literal(i, "null")
	}
	end, _, ok := jsontext.Number(c.Data, i)
	if !ok {
		return i, jsontext.BadSyntax
	}
	return end, ""
}

func (c *checker) literal(i int, word string) (end int, bad string) {
	if end = i + len(word); end > len(c.Data) || string(c.Data[i:end]) != word {
		return i, jsontext.BadSyntax
	}
	return end, ""
}

// array checks an array from behind its bracket.
func (c *checker) array(i int, s *shape) (end int, bad string) {
	var elem *shape
	length := -1
	if s != nil {
		elem, length = s.elem, s.length
	}
	if i = c.space(i); i < len(c.Data) && c.Data[i] == ']' {
		if length > 0 {
			return i, jsontext.BadLength
		}
		return i + 1, ""
	}
	for n := 1; ; n++ {
		if i, bad = c.value(c.space(i), elem); bad != "" {
			return i, bad
		}
		if i = c.space(i); i >= len(c.Data) {
			return i, jsontext.BadSyntax
		}
		switch c.Data[i] {
		case ',':
			i++
		case ']':
			if length >= 0 && n != length {
				return i, jsontext.BadLength
			}
			return i + 1, ""
		default:
			return i, jsontext.BadSyntax
		}
	}
}

// object checks an object from behind its brace.
func (c *checker) object(i int, s *shape) (end int, bad string) {
	if i = c.space(i); i < len(c.Data) && c.Data[i] == '}' {
		return i + 1, ""
	}
	seen := keySet{checker: c, base: len(c.keys)}
	defer seen.close()
	for {
		key, bad := c.String(c.space(i))
		if bad != "" {
			return key.End, bad
		}
		if !seen.add(key) {
			return key.End, jsontext.BadDuplicate
		}
		if i = c.space(key.End); i >= len(c.Data) || c.Data[i] != ':' {
			return i, jsontext.BadSyntax
		}
		member, bad := c.member(key, s)
		if bad != "" {
			return i, bad
		}
		if i, bad = c.value(c.space(i+1), member); bad != "" {
			return i, bad
		}
		if i = c.space(i); i >= len(c.Data) {
			return i, jsontext.BadSyntax
		}
		switch c.Data[i] {
		case ',':
			i++
		case '}':
			return i + 1, ""
		default:
			return i, jsontext.BadSyntax
		}
	}
}

// member returns the shape of the member with the key, in an object of shape
// s.
func (c *checker) member(key jsontext.Span, s *shape) (member *shape, bad string) {
	switch {
	case s == nil:
		return nil, ""
	case s.fields == nil:
		return s.elem, ""
	case key.Escaped:
		return s.field([]byte(c.Unquote(key)), c.lenient)
	}
	return s.field(c.Data[key.Start+1:key.End-1], c.lenient)
}

// keySet is the keys of one object: a few on the checker's stack, many in a
// map.
type keySet struct {
	checker *checker
	base    int
	many    map[string]struct{}
}

// manyKeys is the number of keys from which on a map is faster than comparing
// them one by one.
const manyKeys = 24

// add adds a key and reports whether it is new.
func (k *keySet) add(key jsontext.Span) bool {
	c := k.checker
	if k.many != nil {
		n := len(k.many)
		k.many[c.Unquote(key)] = struct{}{}
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
			k.many[c.Unquote(other)] = struct{}{}
		}
	}
	return true
}

func (k *keySet) close() { k.checker.keys = k.checker.keys[:k.base] }

func (c *checker) equal(a, b jsontext.Span) bool {
	if a.Escaped || b.Escaped {
		return c.Unquote(a) == c.Unquote(b)
	}
	return bytes.Equal(c.Data[a.Start:a.End], c.Data[b.Start:b.End])
}
