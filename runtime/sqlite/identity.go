package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// resolve returns the target of a path's symbolic links; the last link may
// lead to a file that does not exist yet.
func resolve(path string) (string, error) {
	for range 40 {
		real, err := filepath.EvalSymlinks(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return real, err
		}
		to, err := os.Readlink(path)
		if err != nil { // it is no link, and the file will be made here
			folder, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return path, nil //nolint:nilerr // its folder is missing, as opening will say
			}
			return filepath.Join(folder, filepath.Base(path)), nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// identify notes which files are open.
func (e *Engine) identify() (err error) {
	if e.file, err = identityOf(e.given); err == nil {
		e.wal, err = identityOf(e.path + "-wal")
	}
	return err
}

// gone returns [ErrGone] if the path no longer leads to the open file, or its
// log is another one: a write now would be lost.
func (e *Engine) gone() error {
	for _, f := range [...]struct {
		path string
		was  identity
	}{{e.given, e.file}, {e.path + "-wal", e.wal}} {
		is, err := identityOf(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("sqlite %s: %w: there is no %s any more", e.path, ErrGone, f.path)
		case err == nil && is != f.was:
			return fmt.Errorf("sqlite %s: %w: %s is another file by now", e.path, ErrGone, f.path)
		}
	}
	return nil
}
