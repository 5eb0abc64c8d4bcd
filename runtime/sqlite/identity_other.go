//go:build !unix

package sqlite

import "io/fs"

// identity identifies a file. Where an open file cannot be deleted, none need
// be.
type identity struct{}

func identityOf(string) (identity, error) { return identity{}, nil }

// namesOf returns one: how many names a file has is not known.
func namesOf(fs.FileInfo) uint64 { return 1 }
