package web

import "strings"

// patternOf returns the reason's first line between ^ and $, with * for quoted texts, ids,
// numbers and addresses of memory, so that reasons of one cause have one pattern. A
// status such as "error 500" stays: it is part of the cause.
func patternOf(reason string) string {
	line := firstLine(reason)
	cut := len(line) > 4*maxPattern
	if cut {
		line = strings.ToValidUTF8(line[:4*maxPattern], "*")
	}
	p := alike(strings.TrimSpace(line))
	if len(p) > maxPattern {
		p, cut = strings.ToValidUTF8(p[:maxPattern], ""), true
	}
	if cut {
		p = strings.TrimRight(p, "*") + "*"
	}
	return "^" + p + "$"
}

// alike writes * for what differs from task to task in a line. It reads each byte a
// few times at most: a page does this for thousands of reasons.
func alike(line string) string {
	out := make([]byte, 0, len(line))
	plain := 0 // up to here, no word has a digit
	for i := 0; i < len(line); {
		c := line[i]
		if i >= plain && !inWord[c] && strings.IndexByte("\"'`*", c) < 0 {
			out = append(out, c)
			i++
			continue
		}
		if n := statusLen(line, i); n > 0 {
			out = append(out, line[i:i+n]...)
			i += n
			continue
		}
		end := 0
		if i >= plain {
			end, plain = varying(line, i)
		}
		if end == 0 {
			out = append(out, c)
			i++
			continue
		}
		if len(out) == 0 || out[len(out)-1] != '*' {
			out = append(out, '*')
		}
		i = end
	}
	return string(out)
}

// varying returns the end of the text at i that differs from task to task, 0 if it
// does not, and up to where no further word needs a look.
func varying(line string, i int) (end, plain int) {
	switch c := line[i]; c {
	case '*':
		return i + 1, 0
	case '"', '\'', '`':
		if n := strings.IndexByte(line[i+1:], c); n >= 0 {
			return i + n + 2, 0
		}
		return 0, 0
	}
	digit := false
	j := i
	for ; j < len(line) && inWord[line[j]]; j++ {
		digit = digit || isDigit(line[j])
	}
	if !digit {
		return 0, j
	}
	for j < len(line) && (inWord[line[j]] || line[j] == '.' || line[j] == ':') {
		j++
	}
	for !isLetter(line[j-1]) {
		j--
	}
	return j, 0
}

// statuses are the words that a status follows, the longer ones first.
var statuses = []string{"status code", "status", "code", "http", "smtp", "returned", "response", "error"}

// statusLen is the length of a status with its word, such as "status: 404", at i; 0
// if there is none.
func statusLen(line string, i int) int {
	if i > 0 && isLetter(line[i-1]) || !isLetter(line[i]) {
		return 0
	}
	for _, word := range statuses {
		if len(line)-i < len(word) || line[i]|0x20 != word[0] || !strings.EqualFold(line[i:i+len(word)], word) {
			continue
		}
		j := i + len(word)
		if word == "http" {
			j += versionLen(line[j:])
		}
		from := j
		for j < len(line) && (line[j] == ':' || line[j] == '=' || line[j] == ' ') {
			j++
		}
		if j > from && len(line)-j >= 3 && line[j] >= '1' && line[j] <= '5' && isDigit(line[j+1]) && isDigit(line[j+2]) &&
			(len(line)-j == 3 || !isLetter(line[j+3])) {
			return j + 3 - i
		}
	}
	return 0
}

// versionLen is the length of a version such as "/1.1" at the begin of a text.
func versionLen(s string) int {
	if len(s) < 2 || s[0] != '/' || !isDigit(s[1]) {
		return 0
	}
	n := 2
	for n < len(s) && (isDigit(s[n]) || s[n] == '.') {
		n++
	}
	return n
}

// inWord are the bytes of words that may be ids or numbers.
var inWord = func() (in [256]bool) {
	for c := range in {
		in[c] = isLetter(byte(c)) || c == '+' || c == '-'
	}
	return in
}()

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isLetter reports whether c is part of a name.
func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || isDigit(c)
}
