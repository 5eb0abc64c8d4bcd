package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

const (
	// leastSecret is the least length, in bytes, of a value to look for:
	// shorter ones occur in too many other texts. A number needs as many
	// digits.
	leastSecret = 4
	// leastLine is the least length, in bytes, of one line of a longer text.
	leastLine = 8
	// mostSecrets is how many values are looked for. If the arguments hold
	// more, nothing is shown.
	mostSecrets = 10_000
	// keySize is how many bytes of a secret find it. A text that holds so much
	// of its beginning is not shown there either.
	keySize = 64
)

// secrets are the texts to look for, and an index of them: built in time and
// memory linear in the size of the arguments.
type secrets struct {
	list []string // as they are
	keys []secretKey
	// first and second hold the first and second byte of every key.
	first, second byteSet
}

// secretKey is the beginning of a secret, with ASCII letters in lower case.
type secretKey struct {
	key    string
	secret string // all of it; empty if several begin with key, of which none is known
	parent int    // the longest other key that this one begins with, -1 if none
}

type byteSet [4]uint64

func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) has(b byte) bool { return s[b>>6]&(1<<(b&63)) != 0 }

func (s *secrets) none() bool { return len(s.keys) == 0 }

// collect notes the secrets of the arguments and indexes them. wanted reports
// whether a parameter is secret, and whether its keys are. collect returns
// false if the arguments cannot be read, or hold too many values.
func (s *secrets) collect(args json.RawMessage, wanted func(param string) (secret, keys bool)) bool {
	c := jsontext.Text{Data: args}
	i := jsontext.SkipSpace(args, 0)
	if i == len(args) || args[i] != '{' {
		return false
	}
	depth, secret, keys := 0, false, false
	for i < len(args) {
		switch b := args[i]; b {
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth--; depth < 0 {
				return false
			}
			i++
		case '"':
			str, bad := c.String(i)
			if bad != "" {
				return false
			}
			i = jsontext.SkipSpace(args, str.End)
			switch isKey := i < len(args) && args[i] == ':'; {
			case isKey && depth == 1:
				secret, keys = wanted(c.Unquote(str))
			case !secret, isKey && (depth != 2 || !keys):
			default:
				s.addText(c.Unquote(str))
			}
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end, _, ok := jsontext.Number(args, i)
			if !ok {
				return false
			}
			if secret {
				s.addNumber(string(args[i:end]))
			}
			i = end
		default:
			i++
		}
		if len(s.list) > mostSecrets {
			s.list = nil
			return false
		}
	}
	s.index()
	return depth == 0
}

// add notes one text, unless it is too short.
func (s *secrets) add(text string) {
	if len(text) >= leastSecret {
		s.list = append(s.list, text)
	}
}

// addText notes a string, its lines, and its meaning as a time or as bytes in
// base64.
func (s *secrets) addText(text string) {
	text = strings.TrimSpace(text)
	if len(text) < leastSecret {
		return
	}
	s.add(text)
	if strings.ContainsAny(text, "\r\n") {
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
			if line = strings.TrimSpace(line); len(line) >= leastLine {
				s.add(line)
			}
			if len(s.list) > mostSecrets {
				return
			}
		}
	}
	if len(text)%4 == 0 {
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			if trimmed := strings.TrimSpace(string(b)); utf8.Valid(b) {
				s.add(trimmed)
			} else {
				s.add(string(b))
			}
		}
	}
	if len(text) >= len(time.DateOnly) && text[4] == '-' {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			s.list = append(s.list, t.String(), t.Format(time.DateOnly),
				t.UTC().Format(time.DateOnly), t.Local().Format(time.DateOnly))
		}
	}
}

// addNumber notes a number in its several spellings: it may be a
// time.Duration.
func (s *secrets) addNumber(text string) {
	digits := 0
	for i := range len(text) {
		if '0' <= text[i] && text[i] <= '9' {
			digits++
		}
	}
	if digits < leastSecret {
		return
	}
	s.add(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		s.add(time.Duration(n).String())
		s.add(strconv.FormatInt(n, 16))
		s.add(strconv.FormatInt(n, 8))
		s.add(strconv.FormatInt(n, 2))
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		s.add(strconv.FormatFloat(f, 'g', -1, 64))
		s.add(strconv.FormatFloat(f, 'f', -1, 64))
		s.add(fmt.Sprintf("%e", f))
	}
}

// index makes keys of the list.
func (s *secrets) index() {
	s.keys = make([]secretKey, len(s.list))
	for i, text := range s.list {
		s.keys[i] = secretKey{key: lowerASCII(text[:min(len(text), keySize)]), secret: text, parent: -1}
	}
	s.list = nil
	slices.SortFunc(s.keys, func(a, b secretKey) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.secret, b.secret))
	})
	kept := s.keys[:0]
	var open []int // the keys that the next one may begin with
	for _, k := range s.keys {
		if n := len(kept); n > 0 && kept[n-1].key == k.key {
			if len(k.key) == keySize && kept[n-1].secret != k.secret {
				kept[n-1].secret = ""
			}
			continue
		}
		for len(open) > 0 && !strings.HasPrefix(k.key, kept[open[len(open)-1]].key) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			k.parent = open[len(open)-1]
		}
		open = append(open, len(kept))
		kept = append(kept, k)
		s.first.add(k.key[0])
		s.second.add(k.key[1])
	}
	s.keys = kept
}

// match returns the length of the longest secret that text begins with, 0 if
// there is none. text is in lower case.
func (s *secrets) match(text []byte) int {
	if len(text) < leastSecret || !s.first.has(text[0]) || !s.second.has(text[1]) {
		return 0
	}
	// A key that text begins with sorts at or before text, and so do all keys
	// between both: each of those begins with that key.
	at := text[:min(len(text), keySize)]
	i, found := slices.BinarySearchFunc(s.keys, at, compareKey)
	if !found {
		i--
	}
	for i >= 0 && !begins(at, s.keys[i].key) {
		i = s.keys[i].parent
	}
	if i < 0 {
		return 0
	}
	k := s.keys[i]
	n := len(k.key)
	switch {
	case n < keySize:
	case k.secret == "":
		return len(text)
	default:
		for n < len(text) && n < len(k.secret) && text[n] == lower(k.secret[n]) {
			n++
		}
	}
	return n
}

// compareKey and begins make no string of the text.
func compareKey(k secretKey, text []byte) int {
	switch {
	case k.key < string(text):
		return -1
	case k.key == string(text):
		return 0
	}
	return 1
}

func begins(text []byte, key string) bool {
	return len(text) >= len(key) && string(text[:len(key)]) == key
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// lowerASCII returns s with ASCII letters in lower case.
func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for i := range b {
				b[i] = lower(b[i])
			}
			return string(b)
		}
	}
	return s
}
