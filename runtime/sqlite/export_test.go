package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// SchemaVersion is the version that the package writes.
const SchemaVersion = schemaVersion

// Migrate brings a file to a version by other steps than the package's.
func Migrate(path string, steps fs.FS, newest int) error {
	c, err := lite.Open(path, false)
	if err != nil {
		return err
	}
	defer c.Close()
	c.BusyTimeout(5000)
	return migrate(c, steps, newest, false)
}

// Suspend stops the engine's writer, as if its process were suspended.
func (e *Engine) Suspend() (resume func()) {
	paused, goOn := make(chan struct{}), make(chan struct{})
	e.do(&call{
		do:    func(*txn) error { return nil },
		after: func(*txn) { close(paused); <-goOn },
		done:  make(chan error, 1),
	})
	<-paused
	return func() { close(goOn) }
}

// LimitPages makes SQLite itself answer that the disk is full beyond n pages.
// 0 takes the limit away.
func (e *Engine) LimitPages(n int) error {
	if n == 0 {
		n = 1 << 30
	}
	done := make(chan error, 1)
	e.do(&call{
		do:    func(*txn) error { return nil },
		after: func(t *txn) { done <- t.db.c.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n)) },
		done:  make(chan error, 1),
	})
	return <-done
}

// Synchronous returns SQLite's level for the connection that writes.
func (e *Engine) Synchronous() (level int64, err error) {
	err = e.run(context.Background(), func(t *txn) (err error) {
		level, err = t.db.c.Int("PRAGMA synchronous")
		return err
	}, nil)
	return level, err
}

// CheckpointSoon makes the log due to be copied into the file now.
func (e *Engine) CheckpointSoon() {
	done := make(chan struct{})
	e.do(notice(func() { e.checkpoint.due = time.Now(); close(done) }))
	<-done
}

// EndCareful ends the time in which the log is kept short since the disk was full.
// It reports whether it was not over yet.
func (e *Engine) EndCareful() (careful bool) {
	done := make(chan struct{})
	e.do(notice(func() {
		if careful = !e.checkpoint.until.IsZero(); careful {
			e.checkpoint.until = time.Now()
		}
		close(done)
	}))
	<-done
	return careful
}
