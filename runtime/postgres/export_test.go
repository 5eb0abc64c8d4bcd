package postgres

import "time"

// SetCleanEvery changes how often records are forgotten, until undo is called.
func SetCleanEvery(d time.Duration) (undo func()) {
	old := cleanEvery
	cleanEvery = d
	return func() { cleanEvery = old }
}
