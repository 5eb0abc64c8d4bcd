package annotations

import (
	"slices"
	"strings"
)

// nearMiss returns the directive that a comment was probably meant to be, or
// "". It looks at comments that are no directive of ours, and leaves prose
// alone: with a space where a directive has none, what follows must look like
// the words of a directive.
func nearMiss(text string) string {
	body, line := strings.CutPrefix(text, "//")
	if !line {
		body = strings.TrimSuffix(strings.TrimPrefix(text, "/*"), "*/")
		if strings.Contains(body, "\n") {
			return ""
		}
	}
	tool, rest, ok := strings.Cut(body, ":")
	if !ok {
		return ""
	}
	trimmed := strings.TrimSpace(tool)
	if strings.ContainsAny(trimmed, " \t\"`/.") || Nearest(trimmed, []string{Tool}) == "" {
		return ""
	}
	verb, args, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if verb == "" {
		if line && tool == Tool {
			return "//task:context, or leave the comment out"
		}
		return ""
	}
	near := Nearest(verb, verbs())
	exactTool := strings.EqualFold(trimmed, Tool)
	if near == "" || !exactTool && near != verb {
		return ""
	}
	spaced := !line || tool != trimmed || rest != strings.TrimLeft(rest, " \t")
	if (spaced || near != verb) && !looksLikeArgs(args) {
		return ""
	}
	meant := "//task:" + near
	if args = strings.TrimSpace(args); args != "" {
		meant += " " + args
	}
	return meant
}

// looksLikeArgs reports whether what follows a verb is nothing, or begins with
// a key and a value or a scope, so that it is no sentence.
func looksLikeArgs(args string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(args), " ")
	if word == "" || strings.Contains(word, "=") {
		return true
	}
	for _, d := range registry {
		if slices.Contains(d.Words, word) {
			return true
		}
	}
	return false
}
