package annotations

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"unicode"
	"unicode/utf8"
)

// invisible reports whether a character leaves no mark, such as a zero-width
// space: pasted text may have some.
func invisible(r rune) bool {
	return r >= 0x80 && (unicode.Is(unicode.Cf, r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector))
}

// Visible returns the text without its invisible characters: the text itself if
// it has none.
func Visible(text []byte) []byte {
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if invisible(r) {
			return bytes.Map(withoutInvisible, text)
		}
		i += size
	}
	return text
}

func withoutInvisible(r rune) rune {
	if invisible(r) {
		return -1
	}
	return r
}

// unseen reports the first invisible character of a comment that is, or looks
// meant as, a directive. The value of a tag may have some: emoji and some scripts
// are written with them.
func (p *parser) unseen(c *ast.Comment) bool {
	shown := string(Visible([]byte(c.Text)))
	if shown == c.Text {
		return false
	}
	meant := nearMiss(shown)
	at := strings.IndexFunc(c.Text, invisible)
	if d, ok := ast.ParseDirective(c.Slash, shown); ok && d.Tool == Tool {
		meant = shown
		if d, ok := ast.ParseDirective(c.Slash, c.Text); ok && d.Tool == Tool {
			at = unseenIn(c, d)
		}
	}
	if meant == "" || at < 0 {
		return false
	}
	r, size := utf8.DecodeRuneInString(c.Text[at:])
	pos := c.Pos() + token.Pos(at)
	hint := "type the comment anew: " + strings.TrimSpace(meant)
	if strings.Contains(shown, "tag=") {
		hint = "delete it"
	}
	p.errorf(pos, pos+token.Pos(size), "invisible", hint, "%s is in this directive, and is invisible", named(r))
	return true
}

// unseenIn returns the place of the first invisible character of a directive
// outside the values of tags, or -1.
func unseenIn(c *ast.Comment, d ast.Directive) int {
	args, err := d.ParseArgs()
	if err != nil || strings.ContainsFunc(c.Text[:d.ArgsPos-c.Slash], invisible) {
		return strings.IndexFunc(c.Text, invisible)
	}
	for i, a := range args {
		end := len(c.Text)
		if i+1 < len(args) {
			end = int(args[i+1].Pos - c.Slash)
		}
		from := int(a.Pos - c.Slash)
		word := c.Text[from:end]
		if name, _, ok := strings.Cut(word, "="); ok && strings.TrimLeft(name, "\"`") == "tag" {
			continue
		}
		if at := strings.IndexFunc(word, invisible); at >= 0 {
			return from + at
		}
	}
	return -1
}

// named names an invisible character.
func named(r rune) string {
	switch r {
	case 0x00ad:
		return "U+00AD, a soft hyphen,"
	case 0x200b:
		return "U+200B, a space without width,"
	case 0xfeff:
		return "U+FEFF, a byte order mark,"
	}
	return fmt.Sprintf("%U", r)
}
