package sqlite

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The defaults of an engine's options.
const (
	DefaultLease       = 10 * time.Second
	DefaultPoll        = 20 * time.Millisecond
	DefaultBusyTimeout = 10 * time.Second
	DefaultKeepFor     = time.Hour

	DefaultKeepFailedFor = 7 * 24 * time.Hour
)

// Sync says what a commit waits for.
type Sync int

const (
	// SyncNormal hands what is written to the operating system. It outlives
	// the process, however that ends. A power failure or a crash of the
	// operating system can undo the commits since the last checkpoint of the
	// write-ahead log, from the newest back; the file stays sound. This is the
	// default: it is what SQLite recommends for a write-ahead log, and a commit
	// takes a few microseconds instead of the disk's time for a flush.
	SyncNormal Sync = iota
	// SyncFull flushes the disk's cache at each commit: what Enqueue returned
	// outlives a power failure too, if the disk does as it says. Commits are
	// shared by everything that waits at the same moment, so that the cost
	// shows with one caller more than with many.
	SyncFull
)

// Option configures Open.
type Option func(*config)

type config struct {
	sync     Sync
	lease    time.Duration
	poll     time.Duration
	busy     time.Duration
	keepFor  time.Duration
	keepBad  time.Duration // failed and cancelled ones
	maxSize  int64
	existing bool
	log      *slog.Logger
}

// WithSync sets what a commit waits for, [SyncNormal] by default.
func WithSync(s Sync) Option { return func(c *config) { c.sync = s } }

// WithLease sets how long a worker may show no sign of life before its tasks
// are given to others. It shows one every fifth of this time. A killed worker's
// tasks run again after at most 7/5 of it, once another worker serves the file.
// It is 10 s by default, and at least 50 ms.
func WithLease(d time.Duration) Option { return func(c *config) { c.lease = d } }

// WithPoll sets how often a process that serves or waits looks whether another
// process changed the file; a look costs some microseconds. Inside a process
// nothing polls. It is 20 ms by default, and at least 1 ms.
func WithPoll(d time.Duration) Option { return func(c *config) { c.poll = d } }

// WithBusyTimeout sets how long to wait for the write lock that another process
// holds, before the answer is [ErrBusy]. It is 10 s by default.
func WithBusyTimeout(d time.Duration) Option { return func(c *config) { c.busy = d } }

// WithKeepFor sets how long a task that succeeded can be looked up when its
// message does not say. It is 1 hour by default.
func WithKeepFor(d time.Duration) Option { return func(c *config) { c.keepFor = d } }

// WithKeepFailedFor sets how long a task that failed or was cancelled can be
// looked up when its message does not say. It is 7 days by default.
func WithKeepFailedFor(d time.Duration) Option { return func(c *config) { c.keepBad = d } }

// WithMaxSize bounds the file: while it holds that many bytes, Insert answers
// [ErrFull]. Running tasks still end, for which it may grow a little further.
// There is no bound by default.
func WithMaxSize(bytes int64) Option { return func(c *config) { c.maxSize = bytes } }

// WithExisting makes Open fail, with [ErrEmpty] or [os.ErrNotExist], where there
// are no tasks yet, instead of making the file or its tables: for programs that
// look at what others made.
func WithExisting() Option { return func(c *config) { c.existing = true } }

// WithLogger sets where the engine reports what it survives, such as a full
// disk while it records an outcome. It is slog.Default() by default.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.log = l } }

func newConfig(opts []Option) (config, error) {
	c := config{
		lease: DefaultLease, poll: DefaultPoll, busy: DefaultBusyTimeout, keepFor: DefaultKeepFor,
		keepBad: DefaultKeepFailedFor,
	}
	for _, o := range opts {
		o(&c)
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	var errs []error
	if c.sync != SyncNormal && c.sync != SyncFull {
		errs = append(errs, fmt.Errorf("WithSync(%d): there is no such level", c.sync))
	}
	for _, d := range []struct {
		name    string
		v, from time.Duration
	}{
		{"WithLease", c.lease, 50 * time.Millisecond}, {"WithPoll", c.poll, time.Millisecond},
		{"WithBusyTimeout", c.busy, 0}, {"WithKeepFor", c.keepFor, 0},
		{"WithKeepFailedFor", c.keepBad, 0},
	} {
		if d.v < d.from {
			errs = append(errs, fmt.Errorf("%s(%v): it must be at least %v", d.name, d.v, d.from))
		}
	}
	if c.maxSize < 0 {
		errs = append(errs, fmt.Errorf("WithMaxSize(%d): it must not be negative", c.maxSize))
	}
	return c, errors.Join(errs...)
}
