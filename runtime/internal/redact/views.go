package redact

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// view is a text with an encoding undone, and the place of each of its bytes
// in the text itself. Secrets are looked for in views, whoever encoded them:
// fmt, encoding/json, a database, a browser.
type view struct {
	b        []byte
	from, to []int32 // of each byte: where it is in the text
}

// gap stands between unrelated parts of a view. No UTF-8 text contains it.
const gap = 0xFF

func newView(size int) *view {
	return &view{make([]byte, 0, size), make([]int32, 0, size), make([]int32, 0, size)}
}

// fresh returns the scratch view, emptied: the previous one is no longer used.
func (h *hidden) fresh() *view {
	v := &h.scratch
	v.b, v.from, v.to = v.b[:0], v.from[:0], v.to[:0]
	return v
}

func (v *view) add(from, to int32, b ...byte) {
	for _, c := range b {
		v.b, v.from, v.to = append(v.b, lower(c)), append(v.from, from), append(v.to, to)
	}
}

// gap ends a part, if there is one.
func (v *view) gap() {
	if n := len(v.b); n > 0 && v.b[n-1] != gap {
		v.add(0, 0, gap)
	}
}

// replace returns the text with every secret replaced.
func (s *secrets) replace(text string) string {
	cut := len(text) > maxText
	shown := len(text)
	if cut { // a secret at the end may be cut: its beginning is found, and not shown
		text = Cut(text, maxText)
		shown = maxText - 16*keySize
	}
	h := hidden{text: text, secrets: s}
	h.search()
	if len(h.spans) == 0 && !cut {
		return text
	}
	return h.render(shown, cut)
}

// hidden collects the parts of a text that are not shown.
type hidden struct {
	text    string
	secrets *secrets
	spans   [][2]int32
	scratch view // of fresh
}

// search looks into every view.
func (h *hidden) search() {
	raw := newView(len(h.text))
	for i := range len(h.text) {
		raw.add(int32(i), int32(i+1), h.text[i])
	}
	h.look(raw)
	h.unescaped(raw, h.text)
	if i := strings.IndexByte(h.text, '\\'); i >= 0 {
		once, source := h.backslashes(raw, h.text)
		h.look(once)
		h.unescaped(once, source)
		if strings.IndexByte(source, '\\') >= 0 {
			twice, source := h.backslashes(once, source)
			h.look(twice)
			h.unescaped(twice, source)
		}
	}
	for _, base := range [...]rune{10, 16} {
		for _, runes := range [...]bool{false, true} {
			h.look(h.numbers(base, runes))
		}
	}
	h.look(h.quotedRunes())
	h.look(h.spacedRunes())
	for phase := range 2 {
		h.look(h.hex(phase))
	}
	for phase := range 4 {
		h.look(h.base64(phase))
	}
}

// unescaped looks into a view with the bytes source, with the escapes of URLs
// and HTML undone.
func (h *hidden) unescaped(v *view, source string) {
	plus := strings.IndexByte(source, '+') >= 0
	if strings.IndexByte(source, '%') >= 0 || plus {
		h.look(h.percents(v, source, false))
		if plus {
			h.look(h.percents(v, source, true))
		}
	}
	if strings.IndexByte(source, '&') >= 0 {
		h.look(h.entities(v, source))
	}
}

// look hides the secrets in the view.
func (h *hidden) look(v *view) {
	for i := 0; i < len(v.b); {
		n := h.secrets.match(v.b[i:])
		if n == 0 {
			i++
			continue
		}
		h.spans = append(h.spans, [2]int32{v.from[i], v.to[i+n-1]})
		i += n
	}
}

// render returns the text up to shown, without its hidden parts.
func (h *hidden) render(shown int, cut bool) string {
	slices.SortFunc(h.spans, func(a, b [2]int32) int { return int(a[0] - b[0]) })
	var b strings.Builder
	at := 0
	for _, s := range h.spans {
		from, to := int(s[0]), int(s[1])
		if to <= at || within(h.text, from, to) {
			continue
		}
		if from >= shown {
			break
		}
		if from > at || at == 0 || from == at && !strings.HasSuffix(b.String(), Mark) {
			b.WriteString(h.text[at:max(from, at)])
			b.WriteString(Mark)
		}
		at = to
	}
	if at < shown {
		b.WriteString(Cut(h.text[at:], shown-at))
	}
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

// within reports whether a part of the text belongs to a [Mark].
func within(text string, from, to int) bool {
	if to-from > len(Mark) {
		return false
	}
	start := max(0, to-len(Mark))
	i := strings.Index(text[start:min(len(text), from+len(Mark))], Mark)
	return i >= 0 && start+i <= from && to <= start+i+len(Mark)
}

// numbers reads lists of bytes or, with runes set, of runes that are written
// as numbers: [99 97], []byte{0x63, 0x61}, 63 61, [U+0063 U+0061].
func (h *hidden) numbers(base rune, runes bool) *view {
	out := h.fresh()
	text, last := h.text, 0
	for i := 0; i < len(text); {
		start := i
		if base == 16 && i+2 < len(text) && (text[i:i+2] == "0x" || text[i:i+2] == "0X" || text[i:i+2] == "U+") {
			i += 2
		}
		n, digits := rune(0), 0
		for ; i < len(text) && digits <= 7; i++ {
			d := rune(digit(text[i]))
			if d < 0 || d >= base {
				break
			}
			n, digits = n*base+d, digits+1
		}
		if digits == 0 || digits > 7 || n > utf8.MaxRune || !runes && n > 255 {
			i = start + 1
			continue
		}
		if !onlySeparators(text[last:start]) {
			out.gap()
		}
		if runes {
			out.add(int32(start), int32(i), []byte(string(n))...)
		} else {
			out.add(int32(start), int32(i), byte(n))
		}
		last = i
	}
	return out
}

// onlySeparators reports whether s stands between two items of a list.
func onlySeparators(s string) bool {
	return s != "" && len(s) <= 3 && strings.Trim(s, " ,\n\t") == ""
}

// quotedRunes reads lists of runes in quotes: ['c' 'a'].
func (h *hidden) quotedRunes() *view {
	out := h.fresh()
	text, last := h.text, 0
	for i := 0; i < len(text); {
		if text[i] != '\'' {
			i++
			continue
		}
		r, _, tail, err := strconv.UnquoteChar(text[i+1:], '\'')
		if err != nil || tail == "" || tail[0] != '\'' {
			i++
			continue
		}
		end := len(text) - len(tail) + 1
		if !onlySeparators(text[last:i]) {
			out.gap()
		}
		out.add(int32(i), int32(end), []byte(string(r))...)
		i, last = end, end
	}
	return out
}

// spacedRunes reads lists of runes with a space between: [c a].
func (h *hidden) spacedRunes() *view {
	out := h.fresh()
	text := h.text
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRuneInString(text[i:])
		out.add(int32(i), int32(i+n), []byte(text[i:i+n])...)
		if i += n; i < len(text) && text[i] == ' ' {
			i++
		} else {
			out.gap()
		}
	}
	return out
}

// hex reads hexadecimal digits, two a byte. phase is the digit of a run at
// which the first byte begins.
func (h *hidden) hex(phase int) *view {
	out := h.fresh()
	h.runs(2*leastSecret, func(c byte) bool { return digit(c) >= 0 }, func(start, end int) {
		for i := start + phase; i+1 < end; i += 2 {
			out.add(int32(i), int32(i+2), byte(digit(h.text[i])<<4|digit(h.text[i+1])))
		}
		out.gap()
	})
	return out
}

// base64 reads base64 of either alphabet. phase is the letter of a run at
// which the first three bytes begin.
func (h *hidden) base64(phase int) *view {
	out := h.fresh()
	h.runs(6, func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_'
	}, func(start, end int) {
		var quad [4]byte
		var b [3]byte
		for i := start + phase; i+1 < end; i += 4 {
			n := copy(quad[:], h.text[i:min(end, i+4)])
			for j, c := range quad[:n] {
				switch c {
				case '-':
					quad[j] = '+'
				case '_':
					quad[j] = '/'
				}
			}
			size, _ := base64.RawStdEncoding.Decode(b[:], quad[:n])
			out.add(int32(i), int32(i+n), b[:size]...)
		}
		out.gap()
	})
	return out
}

// runs calls f for each run of at least least bytes in the text for which is
// returns true.
func (h *hidden) runs(least int, is func(byte) bool, f func(start, end int)) {
	for i := 0; i < len(h.text); i++ {
		start := i
		for i < len(h.text) && is(h.text[i]) {
			i++
		}
		if i-start >= least {
			f(start, i)
		}
	}
}
