package lite

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Every connection that this library opens in this process has an SQL function
// of ours, with which a transaction of database/sql lends its connection. A
// connection of another SQLite library lacks it, and is so recognized: two
// libraries on one file end each other's locks. It is there from the start,
// since a pool may have opened its connections before this package is used.
func init() {
	tls := libc.NewTLS()
	defer tls.Close()
	sqlite3.Xsqlite3_auto_extension(tls, *(*uintptr)(unsafe.Pointer(&struct {
		f func(*libc.TLS, uintptr, uintptr, uintptr) int32
	}{addLend})))
}

const lendName = "taskctx_lend"

// lendNameC is lendName for the library, for as long as the process lives.
var lendNameC = sync.OnceValue(func() uintptr {
	p, err := libc.CString(lendName)
	if err != nil {
		panic(err)
	}
	return p
})

func addLend(tls *libc.TLS, db, _, _ uintptr) int32 {
	return sqlite3.Xsqlite3_create_function_v2(tls, db, lendNameC(), 1,
		sqlite3.SQLITE_UTF8|sqlite3.SQLITE_DIRECTONLY, 0, lendPtr, 0, 0, 0)
}

var lendPtr = *(*uintptr)(unsafe.Pointer(&struct {
	f func(*libc.TLS, uintptr, int32, uintptr)
}{lend}))

// loans are the functions to call with lent connections, by number.
var (
	loans sync.Map // of int64 to *loan
	last  atomic.Int64
)

type loan struct {
	do  func(*Conn) error
	ran bool
	err error
}

// lend is the SQL function. It runs while the lender executes a statement, so that
// nobody else uses the connection.
func lend(tls *libc.TLS, ctx uintptr, _ int32, args uintptr) {
	v, ok := loans.LoadAndDelete(sqlite3.Xsqlite3_value_int64(tls, *(*uintptr)(at(args))))
	if ok {
		l := v.(*loan)
		c := &Conn{tls: tls, db: sqlite3.Xsqlite3_context_db_handle(tls, ctx)}
		l.ran, l.err = true, errors.New("panicked")
		func() {
			defer c.giveBack()
			defer func() {
				if p := recover(); p != nil { // nothing may unwind through the library
					l.err = fmt.Errorf("panic: %v", p)
				}
			}()
			l.err = l.do(c)
		}()
	}
	sqlite3.Xsqlite3_result_int(tls, ctx, 1)
}

// giveBack finalizes the statements that were prepared on a lent connection.
func (c *Conn) giveBack() {
	for _, s := range c.stmts {
		s.finalize()
	}
	c.stmts = nil
}

// ErrStranger means that the connection is not of this library.
var ErrStranger = errors.New("another SQLite library than modernc.org/sqlite: two in one process " +
	"end each other's locks on the file")

// Borrow calls do with the connection on which query runs a query with one
// parameter and one result, and returns its error. do may use the connection until
// it returns, in the transaction that is open on it.
func Borrow(query func(sql string, arg int64) error, do func(c *Conn) error) error {
	n, l := last.Add(1), &loan{do: do}
	loans.Store(n, l)
	defer loans.Delete(n)
	err := query("SELECT "+lendName+"(?)", n)
	switch {
	case l.ran && l.err != nil:
		return l.err
	case err != nil && !l.ran && strings.Contains(err.Error(), "no such function"):
		return fmt.Errorf("%w (%w)", ErrStranger, err)
	case err == nil && !l.ran:
		return ErrStranger
	}
	return err
}

// Path returns the path of the connection's file, empty if it has none.
func (c *Conn) Path() (string, error) {
	main, err := libc.CString("main")
	if err != nil {
		return "", err
	}
	defer libc.Xfree(c.tls, main)
	return libc.GoString(sqlite3.Xsqlite3_db_filename(c.tls, c.db, main)), nil
}
