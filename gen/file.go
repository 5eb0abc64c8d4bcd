package gen

import (
	"bytes"
	"regexp"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/taskctx/taskctx/gen/diag"
)

// File is one generated file.
type File struct {
	// Name is its absolute name.
	Name string
	// Old is the content of the file so far, nil for none. New is its right
	// content, nil for none.
	Old, New []byte

	root string // of its module
	mark string // first line of a replaceable file, if not our header
}

// Stale reports whether the file is to change.
func (f File) Stale() bool {
	return (f.Old == nil) != (f.New == nil) || !bytes.Equal(f.Old, f.New)
}

var carriageReturns = regexp.MustCompile("\r+\n")

// keepLines gives the new file the line ends of the old one: a checkout may have
// CRLF.
func (f *File) keepLines() {
	if f.Old == nil || f.New == nil || !bytes.Contains(f.Old, []byte("\r\n")) {
		return
	}
	first, _, _ := bytes.Cut(f.Old, []byte("\n"))
	switch {
	case bytes.Equal(carriageReturns.ReplaceAll(f.Old, []byte("\n")), f.New):
		f.New = f.Old
	case bytes.HasSuffix(first, []byte("\r")):
		f.New = bytes.ReplaceAll(f.New, []byte("\n"), []byte("\r\n"))
	}
}

// State says in a word how the file changed, or in a dry run would change.
func (f File) State(dry bool) string {
	switch {
	case !f.Stale():
		return "unchanged"
	case dry:
		return "stale"
	case f.New == nil:
		return "removed"
	}
	return "written"
}

// Diff returns the change of the file as a unified diff, with its name
// relative to dir. It is empty without a change.
func (f File) Diff(dir string) []byte {
	if !f.Stale() {
		return nil
	}
	name := diag.Rel(f.Name, dir)
	before, after := "a/"+name, "b/"+name
	if f.Old == nil {
		before = "/dev/null"
	}
	if f.New == nil {
		after = "/dev/null"
	}
	return diff.Diff(before, f.Old, after, f.New)
}
