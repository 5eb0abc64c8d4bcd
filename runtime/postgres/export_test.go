package postgres

import (
	"strings"
	"time"
)

// SetCleanEvery changes how often records are forgotten, until undo is called.
func SetCleanEvery(d time.Duration) (undo func()) {
	old := cleanEvery
	cleanEvery = d
	return func() { cleanEvery = old }
}

// SetSnapshotAge changes from which age on a snapshot is told of, until undo is
// called.
func SetSnapshotAge(d time.Duration) (undo func()) {
	old := snapshotAge
	snapshotAge = d
	return func() { snapshotAge = old }
}

// WithoutHeadLocks makes the engine read heads of journals where it locks them.
func WithoutHeadLocks(e *Engine) {
	e.sql.journal.lockHeads = strings.Replace(e.sql.journal.lockHeads, "FOR UPDATE", "", 1)
}
