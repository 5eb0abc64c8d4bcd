// Package lite is a thin layer over the SQLite library: statements are
// prepared once, and values bound and read without unneeded conversions and
// allocations. The database/sql driver of the same library prepares each
// statement again for every use.
package lite

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// at makes a pointer of an address in the library's memory. That is not the Go
// heap: only this package moves or frees it.
func at(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// Error is an error of the SQLite library.
type Error struct {
	Code int // the extended result code
	Msg  string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Msg, e.Code) }

// Primary result codes that callers distinguish.
const (
	Generic    = sqlite3.SQLITE_ERROR
	Mismatch   = sqlite3.SQLITE_MISMATCH
	Busy       = sqlite3.SQLITE_BUSY
	Locked     = sqlite3.SQLITE_LOCKED
	ReadOnly   = sqlite3.SQLITE_READONLY
	IOErr      = sqlite3.SQLITE_IOERR
	Corrupt    = sqlite3.SQLITE_CORRUPT
	Full       = sqlite3.SQLITE_FULL
	CantOpen   = sqlite3.SQLITE_CANTOPEN
	NotADB     = sqlite3.SQLITE_NOTADB
	Constraint = sqlite3.SQLITE_CONSTRAINT
	Schema     = sqlite3.SQLITE_SCHEMA
	TooBig     = sqlite3.SQLITE_TOOBIG
)

// Code returns the primary result code in err, 0 if it is no error of SQLite.
func Code(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code & 0xff
	}
	return 0
}

// Waits reports whether err says that another connection holds the write lock,
// and that this one may have it later: its transaction has read nothing that
// changes meanwhile.
func Waits(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code&0xff == Busy && e.Code != sqlite3.SQLITE_BUSY_SNAPSHOT
}

// Conn is a connection. One goroutine uses it at a time.
type Conn struct {
	// Prefix stands for each @ in the text of a statement.
	Prefix string

	tls   *libc.TLS
	db    uintptr
	stmts []*Stmt
	wal   uintptr // the WAL's length in frames, written by walHook
}

// Open opens the database file at path, which it makes unless readOnly.
func Open(path string, readOnly bool) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS()}
	name, err := libc.CString(path)
	if err != nil {
		c.tls.Close()
		return nil, fmt.Errorf("path %q: %w", path, err)
	}
	defer libc.Xfree(c.tls, name)
	flags := int32(sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_CREATE)
	if readOnly {
		flags = sqlite3.SQLITE_OPEN_READONLY
	}
	p := c.tls.Alloc(8)
	defer c.tls.Free(8)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, p, flags|sqlite3.SQLITE_OPEN_NOMUTEX|sqlite3.SQLITE_OPEN_EXRESCODE, 0)
	c.db = *(*uintptr)(at(p))
	if rc != sqlite3.SQLITE_OK {
		err := c.fail(rc)
		c.Close()
		return nil, err
	}
	return c, nil
}

// Writable reports whether this process may write the file, which it leaves alone.
func Writable(path string) (bool, error) {
	c, err := Open(path, false)
	if err != nil {
		return false, err
	}
	defer c.Close()
	main, err := libc.CString("main")
	if err != nil {
		return false, err
	}
	defer libc.Xfree(c.tls, main)
	return sqlite3.Xsqlite3_db_readonly(c.tls, c.db, main) == 0, nil
}

// fail makes the error of a result code from the connection's message.
func (c *Conn) fail(rc int32) error {
	msg := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		if detail := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)); detail != msg && detail != "not an error" {
			msg += ": " + detail
		}
	}
	return &Error{Code: int(rc), Msg: msg}
}

// Close finalizes the connection's statements and closes it. A second call
// does nothing.
func (c *Conn) Close() error {
	if c.tls == nil {
		return nil
	}
	for _, s := range c.stmts {
		s.finalize()
	}
	c.stmts = nil
	defer libc.Xfree(c.tls, c.wal)
	var err error
	if c.db != 0 {
		if rc := sqlite3.Xsqlite3_close_v2(c.tls, c.db); rc != sqlite3.SQLITE_OK {
			err = c.fail(rc)
		}
		c.db = 0
	}
	c.tls.Close()
	c.tls = nil
	return err
}

// WatchWAL makes WALFrames report the length of the write-ahead log. It ends
// automatic checkpoints.
func (c *Conn) WatchWAL() {
	if c.wal == 0 {
		c.wal = libc.Xcalloc(c.tls, 1, 8)
	}
	sqlite3.Xsqlite3_wal_hook(c.tls, c.db, walHookPtr, c.wal)
}

// walHookPtr is walHook in the library's form of a function.
var walHookPtr = *(*uintptr)(unsafe.Pointer(&struct {
	f func(*libc.TLS, uintptr, uintptr, uintptr, int32) int32
}{walHook}))

func walHook(_ *libc.TLS, p, _, _ uintptr, frames int32) int32 {
	libc.AtomicStoreNInt32(p, frames, 0)
	return sqlite3.SQLITE_OK
}

// WALFrames returns the length of the write-ahead log after the last commit.
func (c *Conn) WALFrames() int { return int(libc.AtomicLoadNInt32(c.wal, 0)) }

// Checkpoint copies as much of the write-ahead log into the file as it can
// without waiting for others. It returns the log's length in frames, and how
// many of them are in the file.
func (c *Conn) Checkpoint() (frames, copied int, err error) {
	p := c.tls.Alloc(8)
	defer c.tls.Free(8)
	n := (*[2]int32)(at(p))
	*n = [2]int32{}
	if rc := sqlite3.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, 0, sqlite3.SQLITE_CHECKPOINT_PASSIVE, p, p+4); rc != sqlite3.SQLITE_OK {
		return 0, 0, c.fail(rc)
	}
	return int(n[0]), int(n[1]), nil
}

// BusyTimeout sets for how many milliseconds SQLite itself waits for a lock.
func (c *Conn) BusyTimeout(ms int) {
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, int32(ms))
}

// Exec runs statements without parameters, and ignores rows they return.
func (c *Conn) Exec(sql string) error {
	text, err := libc.CString(c.text(sql))
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, text)
	if rc := sqlite3.Xsqlite3_exec(c.tls, c.db, text, 0, 0, 0); rc != sqlite3.SQLITE_OK {
		return c.fail(rc)
	}
	return nil
}

// Int runs a query without parameters and returns its first value.
func (c *Conn) Int(sql string) (int64, error) {
	s, err := c.Prepare(sql)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	row, err := s.Step()
	if err != nil || !row {
		return 0, err
	}
	return s.Int(0), nil
}

// Text is Int for a text.
func (c *Conn) Text(sql string) (string, error) {
	s, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer s.Close()
	row, err := s.Step()
	if err != nil || !row {
		return "", err
	}
	return s.Text(0), nil
}

// InTransaction reports whether a transaction is open. Some errors end it.
func (c *Conn) InTransaction() bool {
	return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0
}

// Changes returns how many rows the last INSERT, UPDATE or DELETE changed.
func (c *Conn) Changes() int64 { return sqlite3.Xsqlite3_changes64(c.tls, c.db) }

// LastID returns the row id of the last INSERT.
func (c *Conn) LastID() int64 { return sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db) }

func (c *Conn) text(sql string) string { return strings.ReplaceAll(sql, "@", c.Prefix) }

// Prepare compiles one statement, which lives until it or the connection is
// closed.
func (c *Conn) Prepare(sql string) (*Stmt, error) {
	text, err := libc.CString(c.text(sql))
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	p := c.tls.Alloc(8)
	defer c.tls.Free(8)
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, p, 0); rc != sqlite3.SQLITE_OK {
		return nil, fmt.Errorf("prepare %q: %w", sql, c.fail(rc))
	}
	s := &Stmt{c: c, p: *(*uintptr)(at(p))}
	c.stmts = append(c.stmts, s)
	return s, nil
}
