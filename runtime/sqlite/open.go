package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// Engine is a [engine.Engine] on a SQLite file. Make it with [Open]. It
// implements [engine.Waiter], [engine.SingleInserter], [engine.Counter] and
// [engine.Transactor] too. Its methods may be called concurrently.
type Engine struct {
	config
	path    string   // without symbolic links, as SQLite names the files beside it
	given   string   // the path given to Open, absolute
	file    identity // of path when it was opened
	wal     identity // of its log
	host    string
	db      *db        // the writer goroutine's connection
	readers readerPool // for all reading
	queue   opQueue    // operations for the writer
	closing chan struct{}
	written chan struct{} // closed when the writer has ended

	crowded atomic.Bool  // several operations were to be written at once
	runs    atomic.Int64 // tasks that run now, of all workers
	hurried atomic.Int64 // workers that must stop at once
	turn    sync.Mutex   // guards the use of db, and the fields below

	servers  []*server
	peers    map[int64]*peer // live workers of other processes
	plan     plan            // the writer's chores and their times
	broken   error           // why the engine cannot go on
	deferred []op            // outcomes that could not be written yet
	held     time.Duration   // for how long the write lock was held without a break
	foreign  time.Time       // when another process last changed the file
	limited  bool            // the file may have places under limits
	paused   pauses          // as the file had them when it was last looked at

	strangers  strangers           // tasks for the log to name
	distrusted map[int64]time.Time // rows that are set aside, until when

	successes []*delivery // of the current transaction, not written yet

	checkpoints  chan struct{} // asks the checkpointer for a checkpoint
	checkpointed chan struct{} // closed when it has ended
	checkpoint   checkpointState
	waiters      waiters
	logs         calls
	complaints   sync.Mutex
	complained   map[string]time.Time // guarded by complaints: when a failure was last reported
	clock        atomic.Pointer[func() time.Time]
	closed       sync.Once
}

var (
	_ engine.Engine         = (*Engine)(nil)
	_ engine.Waiter         = (*Engine)(nil)
	_ engine.SingleInserter = (*Engine)(nil)
	_ engine.Counter        = (*Engine)(nil)
	_ engine.Transactor     = (*Engine)(nil)
)

// Open opens the file of tasks at path, and makes it if there is none; its
// folder must exist. It migrates a file of an older version of this package. A
// damaged file, one of a newer version, one of another program and one with
// hard links are errors, and are left as they are. SQLite keeps "-wal" and "-shm"
// files beside it while it is open; they belong to it.
//
// Any number of processes of one machine may open the same file. It must be on
// a local disk: network file systems do not lock as SQLite needs it.
func Open(path string, cfg Config) (*Engine, error) {
	c, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, fmt.Errorf("sqlite: %q is no path of a file", path)
	}
	given, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if path, err = resolve(given); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	e := &Engine{
		config:       c,
		path:         path,
		given:        given,
		peers:        make(map[int64]*peer),
		paused:       newPauses(),
		complained:   make(map[string]time.Time),
		closing:      make(chan struct{}),
		written:      make(chan struct{}),
		checkpoints:  make(chan struct{}, 1),
		checkpointed: make(chan struct{}),
	}
	e.host, _ = os.Hostname()
	e.queue.wake = make(chan struct{}, 1)
	e.waiters.m = make(map[uuid.UUID][]*waiter)
	e.plan.due, e.plan.purge, e.plan.park = never, never, never
	err = e.patiently(func() (err error) {
		if err = e.check(); err == nil {
			e.db, err = openDB(path, &c)
		}
		return err
	})
	if err != nil {
		return nil, e.explainOpen(err)
	}
	if err := e.identify(); err != nil {
		e.db.c.Close()
		return nil, e.explainOpen(err)
	}
	if err := e.readers.open(path, e.db.c.Prefix); err != nil {
		e.db.c.Close()
		return nil, e.explainOpen(err)
	}
	go e.runCheckpoints()
	go e.write()
	return e, nil
}

// patiently tries again while the file is locked, for at most
// Config.BusyTimeout: SQLite does not wait for the locks that it needs to turn
// the log on.
func (e *Engine) patiently(do func() error) error {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := do()
		if lite.Code(err) != lite.Busy || time.Since(began) > e.busy {
			return err
		}
		time.Sleep(pause/2 + rand.N(pause))
	}
}

func (e *Engine) explainOpen(err error) error {
	if lite.Code(err) == lite.CantOpen {
		if _, serr := os.Stat(filepath.Dir(e.path)); serr != nil {
			return fmt.Errorf("sqlite %s: %w", e.path, serr)
		}
		return fmt.Errorf("sqlite %s: cannot open or create the file: %w", e.path, err)
	}
	if ex := e.explain(err); ex != err {
		return ex
	}
	return fmt.Errorf("sqlite %s: %w", e.path, err)
}

// check looks at an existing file without writing to it. It leaves all opening
// and closing to SQLite, since closing a file by hand ends the locks that
// other connections of this process have on it.
func (e *Engine) check() error {
	info, err := os.Stat(e.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !e.existing:
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("it is a folder")
	case namesOf(info) > 1:
		return fmt.Errorf("%w: it has %d names, and its log is beside one of them alone; remove the others", ErrLinked, namesOf(info))
	case info.Size() == 0 && e.existing:
		return ErrEmpty
	case info.Size() == 0:
		return nil // SQLite takes an empty file for an empty database
	case info.Size() < minFile:
		return ErrDamaged
	}
	c, err := lite.Open(e.path, true)
	if err != nil {
		return err
	}
	defer c.Close()
	if writable, err := lite.Writable(e.path); err != nil || !writable {
		return errors.Join(ErrReadOnly, err)
	}
	c.BusyTimeout(int(e.busy.Milliseconds()))
	version, err := inspect(c, schemaVersion, e.beside)
	if err != nil {
		return err
	}
	if version == 0 && e.existing {
		return ErrEmpty
	}
	return checkSize(c, e.path)
}

// minFile is the size of the smallest SQLite database that is not empty.
const minFile = 512

// checkSize finds a file that was cut off. SQLite would notice only when it
// needs the missing part.
func checkSize(c *lite.Conn, path string) error {
	pages, err := c.Int("PRAGMA page_count")
	if err != nil {
		return err
	}
	page, err := c.Int("PRAGMA page_size")
	if err != nil {
		return err
	}
	// In this order: other processes write to the log, and then move its pages
	// into the file.
	if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
		return nil // the log may hold the rest
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	size := info.Size()
	if size < pages*page {
		return fmt.Errorf("%w: it has %d bytes, and its header says %d", ErrDamaged, size, pages*page)
	}
	return nil
}

// Close ends the engine's connections. It does not wait for running tasks:
// call it after Serve has returned. Calls that wait on the engine return
// [engine.ErrClosed], and so does every later call.
func (e *Engine) Close() error {
	var err error
	e.closed.Do(func() {
		close(e.closing)
		e.queue.close()
		<-e.written
		<-e.checkpointed
		e.waiters.close()
		e.readers.close()
		e.logs.Wait()
		err = e.explain(e.db.c.Close())
	})
	return err
}

// now is the clock by which tasks are due: that of a worker, if one serves.
func (e *Engine) now() time.Time {
	if f := e.clock.Load(); f != nil {
		return (*f)()
	}
	return time.Now()
}

// complainEvery is how often a repeated failure is reported.
const complainEvery = 10 * time.Second

// complain is warn for failures that are tried again until they end: with a
// full disk that is often, and the log may be on that disk.
func (e *Engine) complain(msg string, args ...any) {
	now := time.Now()
	e.complaints.Lock()
	quiet := now.Sub(e.complained[msg]) < complainEvery
	if !quiet {
		e.complained[msg] = now
	}
	e.complaints.Unlock()
	if !quiet {
		e.warn(msg, args...)
	}
}

// warn reports failures that the engine survives. The logger is the user's: it
// may block or panic.
func (e *Engine) warn(msg string, args ...any) {
	e.logs.Go(func() {
		defer func() { _ = recover() }()
		e.log.Warn(msg, append(args, "file", e.path)...)
	})
}
