package annotations

import (
	"slices"
	"strings"
)

// nearMiss returns the directive that was probably meant by a comment, or "".
// It looks at comments that are no directive of ours, and leaves prose alone:
// if there is a space where a directive has none, the rest must look like the
// words of a directive.
func nearMiss(text string) string {
	body, line := strings.CutPrefix(text, "//")
	if !line {
		body = strings.TrimSuffix(strings.TrimPrefix(text, "/*"), "*/")
		if strings.Contains(body, "\n") {
			return ""
		}
	}
	if line {
		if meant := withoutColon(body); meant != "" {
			return meant
		}
	}
	tool, rest, ok := strings.Cut(withoutSigns(body), ":")
	if !ok {
		return ""
	}
	trimmed := strings.TrimSpace(tool)
	own := slices.ContainsFunc(ownNames, func(n string) bool { return strings.EqualFold(n, trimmed) })
	if !own && (strings.ContainsAny(trimmed, " \t\"`/.") || Nearest(trimmed, []string{Tool}) == "") {
		return ""
	}
	verb, args, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if verb == "" {
		if line && tool == Tool && strings.HasPrefix(body, Tool+":") {
			return "//task:context" + orNothing
		}
		return ""
	}
	near := Nearest(verb, verbs())
	if near == "" || !strings.EqualFold(trimmed, Tool) && near != verb {
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

// orNothing ends what a comment that says too little to be sure was meant to be.
const orNothing = ", or leave the comment out"

// ownNames are the names that the tool of a directive of ours may be thought to
// have.
var ownNames = []string{Tool, "taskctx", "taskgen"}

// withoutSigns returns the text of a comment without what other tools'
// directives begin with.
func withoutSigns(body string) string {
	if rest, ok := strings.CutPrefix(body, "go:"); ok { // as in //go:generate
		return strings.Replace(rest, " ", ":", 1)
	}
	return strings.Replace(strings.TrimLeft(body, "+@#!$%/"), "：", ":", 1) // the colon of other scripts
}

// withoutColon returns the directive that a comment such as //task-context was
// meant to be, or "". It knows only the exact words, since code that was made a
// comment looks much the same.
func withoutColon(body string) string {
	body = withoutSigns(body)
	i := strings.IndexAny(body, "-._/; ")
	if glued := withoutSign(body); glued != "" {
		return glued
	}
	if i <= 0 || !slices.Contains(ownNames, strings.TrimSuffix(body[:i], "s")) {
		return ""
	}
	verb, args, _ := strings.Cut(body[i+1:], " ")
	args = strings.TrimSpace(args)
	if !slices.Contains(verbs(), verb) || args == "" && body[i] == ' ' && body[:i] == Tool { // prose
		return ""
	}
	if args == "" {
		return "//task:" + verb
	}
	word, _, _ := strings.Cut(args, " ")
	key, _, isKey := strings.Cut(word, "=")
	for _, d := range lookup(verb) {
		if isKey && d.key(key) != nil || word == args && slices.Contains(d.Words, word) {
			return "//task:" + verb + " " + args
		}
	}
	return ""
}

// withoutSign returns the directive that a comment such as //taskcontext was meant
// to be, or "".
func withoutSign(body string) string {
	word, args, _ := strings.Cut(body, " ")
	for _, verb := range verbs() {
		for _, name := range ownNames {
			if word == name+verb && looksLikeArgs(args) {
				return strings.TrimSpace("//task:" + verb + " " + strings.TrimSpace(args))
			}
		}
	}
	return ""
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
