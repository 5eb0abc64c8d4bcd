package gen

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/taskctx/taskctx/gen/load"
)

// writeAll writes the changed files and removes unneeded ones.
func writeAll(files []File) error {
	for _, f := range files {
		if !f.Stale() {
			continue
		}
		if err := write(f); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	return nil
}

// write writes one file, whole or not at all. It works within the module's
// directory and does not follow links out of it.
func write(f File) error {
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return err
	}
	defer root.Close()
	name, err := filepath.Rel(f.root, f.Name)
	if err != nil {
		return err
	}
	var mode fs.FileMode
	st, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if f.New == nil {
			return nil
		}
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return errors.New("it is not a regular file")
	default:
		mode = st.Mode().Perm()
		// The file may have changed since it was read.
		now, err := root.ReadFile(name)
		if err != nil {
			return err
		}
		ours := load.Ours(now, Header)
		if f.mark != "" {
			ours = bytes.HasPrefix(now, []byte(f.mark)) || len(bytes.TrimSpace(now)) == 0
		}
		if !ours {
			return errors.New("taskgen did not write it")
		}
	}
	if f.New == nil {
		return root.Remove(name)
	}
	return replace(root, name, f.New, mode)
}

// replace writes a file under another name and then puts it in place. The
// mode, unless zero, is that of the replaced file.
func replace(root *os.Root, name string, data []byte, mode fs.FileMode) error {
	temp := filepath.Join(filepath.Dir(name), ".tmp-"+rand.Text())
	file, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if mode != 0 {
		err = errors.Join(err, file.Chmod(mode))
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		err = errors.Join(err, root.Remove(temp))
	}
	return err
}
