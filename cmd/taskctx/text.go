package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// escaper is the writer of all output, JSON too. It writes characters that a
// terminal would act on, or not show, as JSON does, such as \u001b: control
// characters except the newline, marks of direction, invisible characters.
// Names, tags, reasons and logs come from any enqueuer.
type escaper struct{ w io.Writer }

// Write implements [io.Writer].
func (e escaper) Write(p []byte) (int, error) {
	if _, err := io.WriteString(e.w, escape(string(p), "\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// escape escapes all but printable characters and those in keep.
func escape(s, keep string) string {
	safe := func(r rune, size int) bool {
		return (r != utf8.RuneError || size > 1) && (strconv.IsPrint(r) || strings.ContainsRune(keep, r))
	}
	from, b := 0, []byte(nil)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !safe(r, size) {
			b = append(b, s[from:i]...)
			for _, unit := range utf16.AppendRune(nil, r) {
				b = fmt.Appendf(b, `\u%04x`, unit)
			}
			from = i + size
		}
		i += size
	}
	if b == nil {
		return s
	}
	return string(append(b, s[from:]...))
}

// oneLine returns a text that stays within its line and its column.
func oneLine(s string) string { return escape(s, "") }

// manyLines returns a text that may have several lines, each within its
// column.
func manyLines(s string) string { return escape(strings.ReplaceAll(s, "\t", "    "), "\n") }

// encode writes a record as one line of JSON. Invalid JSON in the store is
// shown as a string, and a time that JSON cannot write is left out.
func encode(w io.Writer, r *runtime.Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		own := *r
		own.Args, own.Result = inspect.JSON(own.Args), inspect.JSON(own.Result)
		for _, at := range []*time.Time{&own.EnqueuedAt, &own.Due, &own.StartedAt, &own.EndedAt} {
			if y := at.Year(); y < 0 || y > 9999 {
				*at = time.Time{}
			}
		}
		if line, err = json.Marshal(&own); err != nil {
			return fmt.Errorf("encode task %s: %w", r.ID, err)
		}
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// encodeLine writes a value as one line of JSON.
func encodeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
