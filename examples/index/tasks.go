package main

//go:generate go tool taskgen

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
)

// IndexContext is the context of this program's tasks.
type IndexContext struct {
	*runtime.Context
	Tx *sql.Tx // from beginTx: one for each run of a task
}

// openDB opens the index, once for each worker.
//
//task:provide worker
func openDB(ctx context.Context, file IndexFile) (*sql.DB, func() error, error) {
	db, err := openIndex(ctx, string(file))
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

// turns lets one worker of this process at a time write to the index: SQLite
// has one write lock, and its waiters sleep and try again, so that one of them
// may be late for long.
type turns chan struct{}

//task:provide process
func newTurns() turns { return make(turns, 1) }

// beginTx gives each run of a task a transaction. It commits when the task
// succeeds, and rolls back when it fails or panics.
//
//task:provide task
func beginTx(ctx *runtime.Context, db *sql.DB, turns turns) (*sql.Tx, func(error) error, error) {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		<-turns
		return nil, nil, fmt.Errorf("begin: %w", err)
	}
	commit := runtime.Commit(ctx, tx)
	return tx, func(taskErr error) error {
		defer func() { <-turns }()
		return commit(taskErr)
	}, nil
}

// IndexFile is the file of the index: a supply, so a type of its own.
type IndexFile string

// AddFile puts the words of one file into the index, in the place of what the
// index had of it. A file that cannot be read, or is not text, fails at once,
// and the index keeps what it has. What the database refuses is tried again.
//
//task:context queue=index retries=5 delay=100ms timeout=5m
func AddFile(ctx *IndexContext, path string) (Change, error) {
	fresh, err := isFresh(ctx, ctx.Tx, path) // a task may run twice
	if err != nil {
		return Change{}, fmt.Errorf("look up %s: %w", path, err)
	}
	if fresh {
		return Change{Kind: kept}, nil
	}
	doc, err := readDocument(path)
	if err != nil {
		return Change{}, runtime.Permanent(err)
	}
	same, err := putDocument(ctx, ctx.Tx, path, doc)
	if err != nil {
		return Change{}, fmt.Errorf("index %s: %w", path, err)
	}
	if same {
		return Change{Kind: kept}, nil
	}
	return Change{Kind: added, Words: doc.words}, nil
}

// forgetFile takes a file that is gone out of the index.
//
//task:context queue=index retries=5 delay=100ms
func forgetFile(ctx *IndexContext, path string) (Change, error) {
	if err := dropDocument(ctx, ctx.Tx, path); err != nil {
		return Change{}, fmt.Errorf("forget %s: %w", path, err)
	}
	return Change{Kind: forgotten}, nil
}

// Change is a task's change of the index.
type Change struct {
	Kind  string `json:"kind"`
	Words int    `json:"words,omitempty"` // that were added
}

// The kinds of changes.
const (
	added     = "added"
	kept      = "kept" // the index had the same content
	forgotten = "forgotten"
)
