package lite

import (
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// transient makes SQLite copy a bound value.
const transient = ^uintptr(0)

// Stmt is a prepared statement. Parameters count from 1, columns from 0.
type Stmt struct {
	c     *Conn
	p     uintptr
	arena uintptr // where bound texts and blobs lie
	size  int     // of arena
	used  int     // of arena
	want  int     // bytes that the values of one use take
	keep  bool    // the values outlive Reset
}

// Close finalizes the statement.
func (s *Stmt) Close() {
	for i, o := range s.c.stmts {
		if o == s {
			s.c.stmts = append(s.c.stmts[:i], s.c.stmts[i+1:]...)
			break
		}
	}
	s.finalize()
}

func (s *Stmt) finalize() {
	sqlite3.Xsqlite3_finalize(s.c.tls, s.p)
	if s.arena != 0 {
		libc.Xfree(s.c.tls, s.arena)
	}
	s.p, s.arena = 0, 0
}

// Keep makes values that are bound afterwards stay bound over Reset.
func (s *Stmt) Keep() { s.keep = true }

// BindInt binds an integer.
func (s *Stmt) BindInt(i int, v int64) {
	sqlite3.Xsqlite3_bind_int64(s.c.tls, s.p, int32(i), v)
}

// BindNull binds NULL.
func (s *Stmt) BindNull(i int) { sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, int32(i)) }

// BindText binds a text. An error of binding shows in Step.
func (s *Stmt) BindText(i int, v string) {
	s.bind(i, unsafe.StringData(v), len(v), true)
}

// BindTextBytes binds a text held in bytes, NULL if v is nil.
func (s *Stmt) BindTextBytes(i int, v []byte) {
	if v == nil {
		s.BindNull(i)
		return
	}
	s.bind(i, unsafe.SliceData(v), len(v), true)
}

// BindBlob binds a blob.
func (s *Stmt) BindBlob(i int, v []byte) {
	s.bind(i, unsafe.SliceData(v), len(v), false)
}

// maxArena bounds the memory that a statement keeps for its values.
const maxArena = 64 << 10

// bind copies the value to memory that SQLite may read until the next Reset.
func (s *Stmt) bind(i int, data *byte, n int, text bool) {
	s.want += n + 1
	p, destroy := s.arena+uintptr(s.used), uintptr(0)
	if s.keep || s.used+n+1 > s.size {
		p, destroy = libc.Xmalloc(s.c.tls, types.Size_t(n+1)), transient
		if p == 0 {
			panic("lite: out of memory")
		}
		defer libc.Xfree(s.c.tls, p)
	} else {
		s.used += n + 1
	}
	if n > 0 {
		copy(unsafe.Slice((*byte)(at(p)), n), unsafe.Slice(data, n))
	}
	if text {
		sqlite3.Xsqlite3_bind_text(s.c.tls, s.p, int32(i), p, int32(n), destroy)
	} else {
		sqlite3.Xsqlite3_bind_blob(s.c.tls, s.p, int32(i), p, int32(n), destroy)
	}
}

// Fault is called, if it is not nil, before each step of a statement, and its error
// is the step's. It is for tests, which set it while nothing runs.
var Fault func() error

// Step runs the statement to its next row, and reports whether there is one.
func (s *Stmt) Step() (bool, error) {
	if Fault != nil {
		if err := Fault(); err != nil {
			return false, err
		}
	}
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.p); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.fail(rc)
	}
}

// Reset makes the statement ready for its next use. Its parameters must be
// bound again, unless Keep was called.
func (s *Stmt) Reset() {
	sqlite3.Xsqlite3_reset(s.c.tls, s.p)
	if s.keep {
		return
	}
	if s.want > s.size && s.size < maxArena {
		if s.arena != 0 {
			libc.Xfree(s.c.tls, s.arena)
		}
		s.size = min(max(2*s.want, 512), maxArena)
		if s.arena = libc.Xmalloc(s.c.tls, types.Size_t(s.size)); s.arena == 0 {
			s.size = 0
		}
	}
	s.used, s.want = 0, 0
}

// Run steps once, for a statement that returns no rows, and resets.
func (s *Stmt) Run() error {
	_, err := s.Step()
	s.Reset()
	return err
}

// Each calls row at each row, until it returns false, and resets.
func (s *Stmt) Each(row func() (more bool)) error {
	defer s.Reset()
	for {
		if ok, err := s.Step(); err != nil || !ok || !row() {
			return err
		}
	}
}

// Int returns an integer column, 0 for NULL.
func (s *Stmt) Int(i int) int64 {
	return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(i))
}

// Null reports whether a column is NULL.
func (s *Stmt) Null(i int) bool {
	return sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(i)) == sqlite3.SQLITE_NULL
}

// View returns a column's bytes, nil for NULL. They are valid until the next
// call of Step or Reset.
func (s *Stmt) View(i int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i))
	n := sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i))
	if p == 0 || n == 0 {
		if s.Null(i) {
			return nil
		}
		return []byte{}
	}
	return unsafe.Slice((*byte)(at(p)), int(n))
}

// Bytes is a copy of View.
func (s *Stmt) Bytes(i int) []byte {
	v := s.View(i)
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// Text returns a text column, empty for NULL.
func (s *Stmt) Text(i int) string { return string(s.View(i)) }
