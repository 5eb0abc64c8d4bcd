package load

import (
	"bytes"

	"github.com/taskctx/taskctx/annotations"
)

// mentions reports whether a file may hold a directive, or a comment that
// resembles one.
func mentions(data []byte) bool {
	data = annotations.Visible(data)
	for _, word := range []string{"task", "Task", "TASK", "taks", "tsak", "tsk"} {
		for rest := data; ; {
			i := bytes.Index(rest, []byte(word))
			if i < 0 {
				break
			}
			before := data[:len(data)-len(rest)+i]
			rest = rest[i+len(word):]
			if next := afterTool(rest); len(next) > 0 && (next[0] == ':' || hasVerb(next) && beginsComment(before)) {
				return true
			}
		}
	}
	return false
}

// afterTool returns the text after the name of a directive's tool, with the
// space between. rest ends that name.
func afterTool(rest []byte) []byte {
	next := rest[:min(len(rest), 16)]
	for _, end := range []string{"ctx", "gen"} {
		next = bytes.TrimPrefix(next, []byte(end))
	}
	return bytes.TrimLeft(next, "s \t")
}

// hasVerb reports whether a directive's verb follows, after a sign in the
// place of the colon.
func hasVerb(next []byte) bool {
	next = bytes.TrimLeft(next, "-._/")
	for _, verb := range []string{"context", "provide", "defaults", "client"} {
		if bytes.HasPrefix(next, []byte(verb)) {
			return true
		}
	}
	return false
}

// beginsComment reports whether a comment begins at the end of data, apart
// from the signs that begin directives of other tools.
func beginsComment(data []byte) bool {
	data = bytes.TrimSuffix(bytes.TrimRight(data, "+@#!$%"), []byte("go:"))
	return bytes.HasSuffix(data, []byte("//"))
}
