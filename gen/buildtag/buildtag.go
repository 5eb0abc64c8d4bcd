// Package buildtag reads the build constraints of Go files, and compares them
// by the builds they choose, not by their text.
//
// A nil expression is no constraint.
package buildtag

import (
	"bytes"
	"go/build/constraint"
	"path/filepath"
	"strings"
)

// Of returns the constraint of a file: that of its //go:build line, or without
// one of its // +build lines, and that of its name.
func Of(name string, src []byte) constraint.Expr { return And(header(src), ofName(name)) }

// Tag returns the constraint that is true where the tag is.
func Tag(tag string) constraint.Expr { return &constraint.TagExpr{Tag: tag} }

// And returns the constraint that is true where both are.
func And(a, b constraint.Expr) constraint.Expr {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &constraint.AndExpr{X: a, Y: b}
}

// Or returns the constraint that is true where one of them is.
func Or(a, b constraint.Expr) constraint.Expr {
	if a == nil || b == nil {
		return nil
	}
	return &constraint.OrExpr{X: a, Y: b}
}

// String writes a constraint, "" for none, also if it only looks like one.
func String(e constraint.Expr) string {
	if e == nil || Same(e, nil) {
		return ""
	}
	return e.String()
}

// header returns the constraint in the lines before a file's package clause.
// As for the go command it is that of the //go:build line, or without one that
// of the // +build lines before an empty line.
func header(src []byte) constraint.Expr {
	var goBuild, plus, pending constraint.Expr
	inBlock := false
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	for raw := range bytes.Lines(src) {
		line := strings.TrimSpace(string(raw))
		if inBlock {
			line, inBlock = afterBlock(line)
		}
		for strings.HasPrefix(line, "/*") {
			line, inBlock = afterBlock(line[2:])
		}
		switch {
		case inBlock:
		case line == "":
			plus, pending = And(plus, pending), nil
		case !strings.HasPrefix(line, "//"):
			if goBuild != nil {
				return goBuild
			}
			return plus
		case constraint.IsGoBuild(line):
			if e, err := constraint.Parse(line); err == nil && goBuild == nil {
				goBuild = e
			}
		case constraint.IsPlusBuild(line):
			if e, err := constraint.Parse(line); err == nil {
				pending = And(pending, e)
			}
		}
	}
	return goBuild
}

// afterBlock returns the text after the end of a comment in a line, or inBlock
// if it does not end there.
func afterBlock(line string) (after string, inBlock bool) {
	_, after, ended := strings.Cut(line, "*/")
	return strings.TrimSpace(after), !ended
}

// ofName returns the constraint of a file's name: "mail_linux.go" is built for
// linux only, and so are "mail_linux_test.go" and "mail_linux.pb.go".
func ofName(name string) constraint.Expr {
	name, _, _ = strings.Cut(filepath.Base(name), ".")
	_, name, ok := strings.Cut(name, "_")
	if !ok {
		return nil
	}
	parts := strings.Split(name, "_")
	if n := len(parts); parts[n-1] == "test" {
		parts = parts[:n-1]
	}
	n := len(parts)
	switch {
	case n == 0:
	case n >= 2 && knownArch[parts[n-1]] && knownOS[parts[n-2]]:
		return And(Tag(parts[n-2]), Tag(parts[n-1]))
	case knownArch[parts[n-1]] || knownOS[parts[n-1]]:
		return Tag(parts[n-1])
	}
	return nil
}
