package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// search writes "file:line: text" for each line that has the word. Capitals do
// not matter. Several words must follow each other.
func search(ctx context.Context, dbFile, word string, out io.Writer) error {
	if _, err := os.Stat(dbFile); err != nil {
		return fmt.Errorf("there is no index %s: index a folder first (%w)", dbFile, err)
	}
	db, err := openIndex(ctx, dbFile)
	if err != nil {
		return err
	}
	defer db.Close()
	w := bufio.NewWriter(out)
	found := false
	for m, err := range matches(ctx, db, word) {
		if err != nil {
			return fmt.Errorf("search %s: %w", dbFile, err)
		}
		found = true
		if err := m.write(w); err != nil {
			return err // nobody reads on, if it is a pipe
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%q: %w", word, errNotFound)
	}
	return nil
}

var errNotFound = errors.New("found nowhere")

// write writes the lines of the file in which a match begins.
func (m *match) write(w io.Writer) error {
	path, line := shownPath(m.path), 0
	for text := range strings.Lines(m.marked) {
		line++
		if strings.Contains(text, markOn) {
			text = strings.NewReplacer(markOn, "", markOff, "").Replace(text)
			if _, err := fmt.Fprintf(w, "%s:%d: %s\n", path, line, strings.TrimSpace(text)); err != nil {
				return err
			}
		}
	}
	return nil
}

// quote makes any text a phrase of SQLite's full-text query language.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
