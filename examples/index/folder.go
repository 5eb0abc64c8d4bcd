package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// indexOptions are how to index a folder.
type indexOptions struct {
	appOptions
	progress func(total int) progress // shows how far the work is
}

// indexFolder brings the index up to date with the folder. When ctx ends it
// stops: if work is left, it returns the summary so far with errInterrupted.
func indexFolder(ctx context.Context, dir string, o indexOptions) (*summary, error) {
	started := time.Now()
	plan, err := makePlan(ctx, dir, o.db)
	if err != nil {
		return nil, err
	}
	app, closeEngine, err := o.newApp(ctx)
	if err != nil {
		return nil, err
	}
	// Ctrl-C must not end the tasks that run: Stop lets them finish.
	calm := context.WithoutCancel(ctx)
	if o.workers > 0 {
		if err := app.Start(calm); err != nil {
			return nil, errors.Join(err, closeEngine())
		}
	}
	s := &summary{plan: plan, skipped: plan.done, failures: plan.failures}
	bar := o.progress(len(plan.add) + len(plan.forget))
	runErr := plan.run(ctx, app, s, bar)
	stopErr := app.Stop(calm)
	bar.end()
	s.settle(calm)
	if errors.Is(runErr, errInterrupted) && s.unfinished() == 0 {
		runErr = nil // only the running tasks were left
	}
	s.took = time.Since(started)
	return s, errors.Join(runErr, stopErr, closeEngine())
}

// plan is the work to do for a folder.
type plan struct {
	files    int       // in the folder
	done     int       // of them, in the index as they are
	add      []string  // to be added
	forget   []string  // in the index, but gone from the folder
	failures []failure // of walking
}

// makePlan compares the folder with its part of the index.
func makePlan(ctx context.Context, dir, dbFile string) (*plan, error) {
	dir, err := realPath(dir)
	if err != nil {
		return nil, err
	}
	db, err := openIndex(ctx, dbFile)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	have, err := indexed(ctx, db, dir)
	if err != nil {
		return nil, fmt.Errorf("read index %s: %w", dbFile, err)
	}
	own, err := realPath(dbFile)
	if err != nil {
		return nil, err
	}
	w := walk{plan: new(plan), have: have, own: own}
	if err := w.dir(ctx, dir); err != nil {
		return nil, err
	}
	return w.plan, nil
}

// realPath is the absolute path without symbolic links.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// shownPath is the path as the user would write it.
func shownPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}
