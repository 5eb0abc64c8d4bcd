package web

import (
	"net/url"
	"strings"
)

// token is a piece of JSON, with the class that a page shows it in.
type token struct{ Class, Text string }

// tokenize indents JSON and cuts it into tokens, as far as limit bytes of it. It
// returns how many bytes it has read. What is no JSON comes out as it is.
func tokenize(raw []byte, limit int) (tokens []token, read int) {
	t := tokenizer{raw: raw, limit: min(limit, len(raw))}
	for t.pos < t.limit {
		t.next()
	}
	t.flush()
	return t.tokens, t.pos
}

// tokenizer reads JSON.
type tokenizer struct {
	raw        []byte
	pos, limit int
	depth      int
	tokens     []token
	plain      strings.Builder // punctuation that is not yet a token
}

func (t *tokenizer) flush() {
	if t.plain.Len() > 0 {
		t.tokens = append(t.tokens, token{"", t.plain.String()})
		t.plain.Reset()
	}
}

func (t *tokenizer) add(class, text string) {
	t.flush()
	t.tokens = append(t.tokens, token{class, text})
}

// maxIndent bounds how far deep JSON is indented.
const maxIndent = 20

func (t *tokenizer) line() {
	t.plain.WriteByte('\n')
	for range min(max(t.depth, 0), maxIndent) {
		t.plain.WriteString("  ")
	}
}

func (t *tokenizer) next() {
	switch c := t.raw[t.pos]; c {
	case ' ', '\t', '\n', '\r':
		t.pos++
	case '{', '[':
		t.pos++
		t.plain.WriteByte(c)
		if t.pos < len(t.raw) && (t.raw[t.pos] == '}' || t.raw[t.pos] == ']') {
			t.plain.WriteByte(t.raw[t.pos])
			t.pos++
			return
		}
		t.depth++
		t.line()
	case '}', ']':
		t.pos++
		t.depth--
		t.line()
		t.plain.WriteByte(c)
	case ',':
		t.pos++
		t.plain.WriteByte(c)
		t.line()
	case ':':
		t.pos++
		t.plain.WriteString(": ")
	case '"':
		t.text()
	default:
		t.word()
	}
}

// text reads a string, or as much of it as the limit allows.
func (t *tokenizer) text() {
	end := t.pos + 1
	for end < t.limit && t.raw[end] != '"' {
		if t.raw[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end+1, t.limit)
	s := string(t.raw[t.pos:end])
	t.pos = end
	class := "s"
	for i := end; i < len(t.raw) && i < end+8; i++ {
		if c := t.raw[i]; c == ':' {
			class = "k"
		} else if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			continue
		}
		break
	}
	t.add(class, clean(s, len(s)))
}

// word reads a number, a literal, or what is no JSON.
func (t *tokenizer) word() {
	end := t.pos + 1
	for end < t.limit && !strings.ContainsRune(" \t\r\n{}[],:\"", rune(t.raw[end])) {
		end++
	}
	s := string(t.raw[t.pos:end])
	t.pos = end
	t.add("n", clean(s, len(s)))
}

// urlQuery makes the query of a URL from pairs of names and values.
func urlQuery(pairs ...string) string {
	v := make(url.Values)
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}
