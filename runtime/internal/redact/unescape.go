package redact

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// backslashes undoes the escapes of Go and JSON in a view with the bytes
// source. It returns the new view and its bytes.
func (h *hidden) backslashes(v *view, source string) (*view, string) {
	out := newView(len(source))
	plain := make([]byte, 0, len(source))
	for i := 0; i < len(source); {
		n, text := 1, source[i:i+1]
		if source[i] == '\\' {
			n, text = unescape(source[i:])
		}
		out.add(v.from[i], v.to[i+n-1], []byte(text)...)
		plain = append(plain, text...)
		i += n
	}
	return out, string(plain)
}

// unescape returns the length and the meaning of the escape that s begins
// with.
func unescape(s string) (n int, text string) {
	if len(s) < 2 {
		return 1, s
	}
	switch s[1] {
	case 'u':
		if r := jsontext.HexRune([]byte(s[:min(len(s), 6)]), 0); r >= 0 {
			n = 6
			if 0xD800 <= r && r < 0xE000 { // the half of a rune
				low := jsontext.HexRune([]byte(s[6:min(len(s), 12)]), 0)
				if r, n = (r-0xD800)<<10+(low-0xDC00)+0x10000, 12; low < 0xDC00 {
					return 6, string(utf8.RuneError)
				}
			}
			return n, string(r)
		}
	case 'U', 'x', '0', '1', '2', '3':
		r, multibyte, tail, err := strconv.UnquoteChar(s, 0)
		if err == nil && (multibyte || r < utf8.RuneSelf) {
			return len(s) - len(tail), string(r)
		} else if err == nil {
			return len(s) - len(tail), string([]byte{byte(r)})
		}
	case 'n':
		return 2, "\n"
	case 'r':
		return 2, "\r"
	case 't':
		return 2, "\t"
	case 'b':
		return 2, "\b"
	case 'f':
		return 2, "\f"
	case 'a':
		return 2, "\a"
	case 'v':
		return 2, "\v"
	case '"', '\'', '\\', '/':
		return 2, s[1:2]
	}
	return 1, s[:1]
}

// percents undoes the escapes of URLs; plus makes + a space.
func (h *hidden) percents(v *view, source string, plus bool) *view {
	out := h.fresh()
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case c == '%' && i+2 < len(source) && digit(source[i+1]) >= 0 && digit(source[i+2]) >= 0:
			out.add(v.from[i], v.to[i+2], byte(digit(source[i+1])<<4|digit(source[i+2])))
			i += 2
		case c == '+' && plus:
			out.add(v.from[i], v.to[i], ' ')
		default:
			out.add(v.from[i], v.to[i], c)
		}
	}
	return out
}

// longestEntity bounds, in bytes, the HTML entities that are undone.
const longestEntity = 10

// entities undoes the escapes of HTML.
func (h *hidden) entities(v *view, source string) *view {
	out := h.fresh()
	for i := 0; i < len(source); {
		n, text := 1, source[i:i+1]
		if source[i] == '&' {
			if end := strings.IndexByte(source[i:min(len(source), i+longestEntity)], ';'); end > 0 {
				n, text = end+1, html.UnescapeString(source[i:i+end+1])
			}
		}
		out.add(v.from[i], v.to[i+n-1], []byte(text)...)
		i += n
	}
	return out
}

// digit returns the value of a hexadecimal digit, or -1.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c - 'a' + 10)
	case 'A' <= c && c <= 'F':
		return int(c - 'A' + 10)
	}
	return -1
}
