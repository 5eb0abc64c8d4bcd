// Package diag describes mistakes in source files: the fault, its place, and
// its mend.
package diag

import (
	"cmp"
	"fmt"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// Diagnostic is one mistake in the source.
type Diagnostic struct {
	// Pos and End are where the mistake is. End is the zero Position if only its
	// beginning is known.
	Pos, End token.Position
	// Code names the kind of mistake, such as "unknown-key". It stays the same
	// from version to version.
	Code string
	// Message describes the mistake.
	Message string
	// Fix is the mend. It may be empty, and may have several lines.
	Fix string
	// Related are other places involved in it.
	Related []Related
}

// Related is another place involved in a mistake.
type Related struct {
	Pos     token.Position
	Message string
}

// Sort sorts by position, then by message, and drops duplicates.
func Sort(ds []Diagnostic) []Diagnostic {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Pos.Filename, b.Pos.Filename),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.CompactFunc(ds, func(a, b Diagnostic) bool {
		return a.Pos == b.Pos && a.Code == b.Code && a.Message == b.Message
	})
}

// Text returns the diagnostic as it is shown to a person, with file names
// relative to dir. It has no newline at the end.
func (d Diagnostic) Text(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s [%s]", Place(d.Pos, dir), d.Message, d.Code)
	for _, r := range d.Related {
		fmt.Fprintf(&b, "\n\t%s: %s", Place(r.Pos, dir), r.Message)
	}
	if d.Fix != "" {
		fmt.Fprintf(&b, "\n\t%s", strings.ReplaceAll(d.Fix, "\n", "\n\t"))
	}
	return b.String()
}

// Place returns the position as file:line:column, with the file's name relative
// to dir if it is below or near it.
func Place(pos token.Position, dir string) string {
	pos.Filename = Rel(pos.Filename, dir)
	return pos.String()
}

// Rel returns the file's name relative to dir, with slashes, if that is shorter
// than the whole name.
func Rel(name, dir string) string {
	if name == "" || dir == "" {
		return name
	}
	rel, err := filepath.Rel(dir, name)
	if err != nil || len(rel) >= len(name) {
		return name
	}
	return filepath.ToSlash(rel)
}
