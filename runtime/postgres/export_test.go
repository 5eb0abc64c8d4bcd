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

// JournalSQL returns the statements that look for entries of given jobs, each with
// arguments.
func JournalSQL(e *Engine) map[string][2]string {
	j := &e.sql.journal
	return map[string][2]string{
		"read":           {j.read, "('{7}', '{0}', '{a}')"},
		"unseen":         {j.unseen, "('{7}')"},
		"bereftChildren": {j.bereftChildren, "(7, 0, 100)"},
		"redo":           {j.redo, "(7)"},
		"forgetFailed":   {j.forgetFailed, "(7)"},
		"recount":        {j.recount, "(7)"},
	}
}

// Steer are the settings under which statements are planned.
const Steer = steerSQL
