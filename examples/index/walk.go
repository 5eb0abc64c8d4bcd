package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// walk makes a plan of a folder.
type walk struct {
	plan  *plan
	have  map[string]version // what the index has, less what was met
	own   string             // the index itself
	blind []string           // folders that could not be read
}

var errPath = errors.New("its name is not UTF-8")

// dir walks a folder. An unreadable file in it is a failure of the plan, and
// an error only if it is the folder itself.
func (w *walk) dir(ctx context.Context, root string) error {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err != nil && path == root:
			return err
		case err != nil:
			w.fail(path, err)
			return nil
		case path == root && !d.IsDir():
			return fmt.Errorf("%s is not a folder", root)
		case path != root && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return filepath.SkipDir
			}
		case d.Type().IsRegular() && !w.isOwn(path):
			w.file(path, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(w.have)) {
		if !slices.ContainsFunc(w.blind, func(dir string) bool { return within(dir, path) }) {
			w.plan.forget = append(w.plan.forget, path)
		}
	}
	return nil
}

// file decides whether to index one file.
func (w *walk) file(path string, d fs.DirEntry) {
	w.plan.files++
	if !utf8.ValidString(path) { // a task could not name it
		w.fail(path, errPath)
		return
	}
	had, ok := w.have[path]
	delete(w.have, path)
	info, err := d.Info()
	switch {
	case err != nil:
		w.fail(path, err)
	case ok && had == versionOf(info):
		w.plan.done++
	default:
		w.plan.add = append(w.plan.add, path)
	}
}

func (w *walk) fail(path string, err error) {
	w.plan.failures = append(w.plan.failures, failure{path, reason(err)})
	w.blind = append(w.blind, path)
}

// isOwn reports whether the path is of the index, which SQLite keeps in up to
// three files.
func (w *walk) isOwn(path string) bool {
	return path == w.own || path == w.own+"-wal" || path == w.own+"-shm"
}

func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}
