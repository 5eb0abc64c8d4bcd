package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Sync says how far a commit goes before it returns.
type Sync int

const (
	// SyncNormal hands a commit to the operating system. It outlives the
	// process, however that ends. A power failure or a crash of the operating
	// system can undo the commits since the last checkpoint of the write-ahead
	// log, from the newest back; the file stays sound. This is the default:
	// SQLite recommends it for a write-ahead log, and a commit takes a few
	// microseconds instead of the disk's time for a flush.
	SyncNormal Sync = iota
	// SyncFull flushes the disk's cache at each commit: a task that Enqueue
	// returned outlives a power failure too, if the disk keeps its word. All
	// commits that wait at the same moment share one flush, so that the cost
	// shows more with one caller than with many.
	SyncFull
)

// Config sets up an engine. Its zero value works.
type Config struct {
	// Sync says how far a commit goes before it returns. Defaults to
	// [SyncNormal].
	Sync Sync
	// Lease is how long a worker may show no sign of life before others take
	// its tasks over. It shows one every fifth of this time. A killed worker's
	// tasks run again after at most 7/5 of it, once another worker serves the
	// file. Defaults to 15 s, at least 50 ms.
	Lease time.Duration
	// PollInterval is how often a process that serves or waits looks whether
	// another process changed the file; a look costs some microseconds. Inside
	// a process nothing polls. Defaults to 20 ms, at least 1 ms.
	PollInterval time.Duration
	// BusyTimeout is how long to wait for the write lock that another process
	// holds, before the answer is [ErrBusy]. Defaults to 10 s.
	BusyTimeout time.Duration
	// KeepFor is how long the record of a succeeded task stays if its message
	// names no time. Defaults to 24 h.
	KeepFor time.Duration
	// KeepFailedFor is the same for a task that failed or was cancelled.
	// Defaults to 7 days.
	KeepFailedFor time.Duration
	// MaxSize bounds the file, in bytes: at that size Insert answers
	// [ErrFull]. Running tasks still end, for which the file may grow a little
	// further. In a file of the app's own tables, those count too. Defaults to
	// no bound.
	MaxSize int64
	// Beside puts the tasks into the file of the app's own tables, in tables
	// whose names begin with "taskctx_". Open makes them in a file of another
	// program, which is [ErrForeign] otherwise, and turns on SQLite's
	// write-ahead log for it. A file that has tasks already stays as it is.
	Beside bool
	// Existing makes Open fail, with [ErrEmpty] or [os.ErrNotExist], where
	// there are no tasks yet, instead of making the file or its tables. It is
	// for programs that only look at the tasks of others.
	Existing bool
	// Logger gets failures that the engine survives, such as a full disk while
	// it records an outcome. Defaults to slog.Default() at the time of
	// opening.
	Logger *slog.Logger
}

type config struct {
	sync     Sync
	lease    time.Duration
	poll     time.Duration
	busy     time.Duration
	keepFor  time.Duration
	keepBad  time.Duration // failed and cancelled ones
	maxSize  int64
	existing bool
	beside   bool
	log      *slog.Logger
}

// check returns the configuration with its defaults, and all errors in it.
func (cfg Config) check() (config, error) {
	c := config{sync: cfg.Sync, maxSize: cfg.MaxSize, existing: cfg.Existing, beside: cfg.Beside, log: cfg.Logger}
	if c.log == nil {
		c.log = slog.Default()
	}
	var errs []error
	if c.sync != SyncNormal && c.sync != SyncFull {
		errs = append(errs, fmt.Errorf("Config.Sync is %d: there is no such level", c.sync))
	}
	for _, d := range []struct {
		name         string
		value        time.Duration
		least, other time.Duration // other is the default
		to           *time.Duration
	}{
		{"Lease", cfg.Lease, 50 * time.Millisecond, 15 * time.Second, &c.lease},
		{"PollInterval", cfg.PollInterval, time.Millisecond, 20 * time.Millisecond, &c.poll},
		{"BusyTimeout", cfg.BusyTimeout, 0, 10 * time.Second, &c.busy},
		{"KeepFor", cfg.KeepFor, 0, 24 * time.Hour, &c.keepFor},
		{"KeepFailedFor", cfg.KeepFailedFor, 0, 7 * 24 * time.Hour, &c.keepBad},
	} {
		*d.to = cmp.Or(d.value, d.other)
		if *d.to < d.least {
			errs = append(errs, fmt.Errorf("Config.%s is %v: it must be at least %v", d.name, d.value, d.least))
		}
	}
	if c.maxSize < 0 {
		errs = append(errs, fmt.Errorf("Config.MaxSize is %d: it must not be negative", c.maxSize))
	}
	return c, errors.Join(errs...)
}
