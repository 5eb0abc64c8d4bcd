//go:build unix

package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime/sqlite"
)

func TestSync(t *testing.T) {
	for sync, want := range map[sqlite.Sync]int64{sqlite.SyncNormal: 1, sqlite.SyncFull: 2} {
		e := open(t, filepath.Join(t.TempDir(), "tasks.db"), sqlite.WithSync(sync))
		if got, err := e.Synchronous(); err != nil || got != want {
			t.Errorf("WithSync(%d): PRAGMA synchronous is %d, %v, want %d", sync, got, err, want)
		}
		if _, err := e.InsertOne(context.Background(), message("sync.task")); err != nil {
			t.Error(err)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]sqlite.Option{
		"WithSync": sqlite.WithSync(7), "WithLease": sqlite.WithLease(time.Millisecond), "WithPoll": sqlite.WithPoll(0),
		"WithBusyTimeout": sqlite.WithBusyTimeout(-1), "WithKeepFor": sqlite.WithKeepFor(-1),
		"WithMaxSize": sqlite.WithMaxSize(-1),
	} {
		path := filepath.Join(t.TempDir(), "tasks.db")
		if e, err := sqlite.Open(path, o); err == nil {
			e.Close()
			t.Errorf("%s: a bad value is no error", name)
		}
		if exists(path) {
			t.Errorf("%s: a bad value made a file", name)
		}
	}
}
