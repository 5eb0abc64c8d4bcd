//go:build unix && !linux

package sqlite_test

func asNobody() bool { return false }
