//go:build unix

package sqlite

import "syscall"

// identity identifies a file, whatever its path.
type identity struct{ dev, ino uint64 }

func identityOf(path string) (identity, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return identity{}, err
	}
	return identity{uint64(st.Dev), uint64(st.Ino)}, nil //nolint:unconvert // other systems have other types
}
