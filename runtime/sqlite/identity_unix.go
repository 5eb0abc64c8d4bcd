//go:build unix

package sqlite

import (
	"io/fs"
	"syscall"
)

// identity identifies a file, whatever its path.
type identity struct{ dev, ino uint64 }

func identityOf(path string) (identity, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return identity{}, err
	}
	return identity{uint64(st.Dev), uint64(st.Ino)}, nil //nolint:unconvert // other systems have other types
}

// namesOf returns how many names a file has: one, and each hard link to it.
func namesOf(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(st.Nlink) //nolint:unconvert // other systems have other types
}
