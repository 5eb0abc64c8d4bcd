//go:build unix

package sqlite_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime/sqlite"
)

func TestConfig_Sync(t *testing.T) {
	for sync, want := range map[sqlite.Sync]int64{sqlite.SyncNormal: 1, sqlite.SyncFull: 2} {
		e := open(t, filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{Sync: sync})
		if got, err := e.Synchronous(); err != nil || got != want {
			t.Errorf("Config.Sync %d: PRAGMA synchronous is %d, %v, want %d", sync, got, err, want)
		}
		if _, err := e.InsertOne(context.Background(), message("sync.task")); err != nil {
			t.Error(err)
		}
	}
}

func TestOpen_BadConfig(t *testing.T) {
	for name, o := range map[string]sqlite.Config{
		"Sync": {Sync: 7}, "Lease": {Lease: time.Millisecond}, "PollInterval": {PollInterval: -1},
		"BusyTimeout": {BusyTimeout: -1}, "KeepFor": {KeepFor: -1}, "KeepFailedFor": {KeepFailedFor: -1}, "MaxSize": {MaxSize: -1},
	} {
		path := filepath.Join(t.TempDir(), "tasks.db")
		e, err := sqlite.Open(path, o)
		if err == nil {
			e.Close()
			t.Errorf("%s: a bad value is no error", name)
		} else if !strings.Contains(err.Error(), "Config."+name+" ") {
			t.Errorf("%s is not named in %v", name, err)
		}
		if exists(path) {
			t.Errorf("%s: a bad value made a file", name)
		}
	}
}
