package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// Order is what to publish.
type Order struct {
	Source  string        `json:"source"`  // the folder of the packages
	Site    string        `json:"site"`    // the folder of the site
	Embargo time.Duration `json:"embargo"` // how long the site waits after its approval
}

// Approval is what a person says to a site that is ready.
type Approval struct {
	By string `json:"by"`
	OK bool   `json:"ok"`
}

// Approved is sent to the task that publishes a site.
var Approved = runtime.NewSignal[Approval]("approved")

// Page is a page of the site.
type Page struct {
	Package  string `json:"package"`
	Synopsis string `json:"synopsis"`
	File     string `json:"file"`
}

// patience is how long a site waits for its approval.
const patience = 72 * time.Hour

// Publish makes the site of the packages in a folder, and returns how many pages it
// has.
//
//task:context durable retries=3 delay=1s
func Publish(ctx *runtime.Context, order Order) (pages int, err error) {
	staging := order.Site + ".staging"
	dirs, err := runtime.Step(ctx, "packages", func(context.Context) ([]string, error) {
		return packagesIn(order.Source)
	})
	if err != nil {
		return 0, err
	}
	calls := make([]runtime.Call[Page], len(dirs))
	for i, dir := range dirs {
		calls[i] = RenderCall(order.Source, dir, staging)
	}
	all, err := runtime.All(ctx, "page", calls...)
	if err != nil {
		return 0, err
	}
	if _, err := runtime.Step(ctx, "index", func(context.Context) (runtime.Void, error) {
		return runtime.Void{}, writeIndex(staging, all)
	}); err != nil {
		return 0, err
	}
	approval, err := Approved.Await(ctx, patience)
	switch {
	case errors.Is(err, runtime.ErrAwaitTimeout):
		return 0, runtime.Cancelled("nobody has approved the site")
	case err != nil:
		return 0, err
	case !approval.OK:
		return 0, runtime.Cancelled("refused by " + approval.By)
	}
	if err := runtime.Rest(ctx, "embargo", order.Embargo); err != nil {
		return 0, err
	}
	_, err = runtime.Step(ctx, "release", func(context.Context) (runtime.Void, error) {
		return runtime.Void{}, release(staging, order.Site)
	})
	return len(all), err
}

// Render renders the documentation of the package in a folder below the source.
//
//task:context retries=2 delay=1s
func Render(ctx *runtime.Context, source, dir, staging string) (Page, error) {
	pkg, err := readPackage(filepath.Join(source, dir), dir)
	if err != nil {
		return Page{}, runtime.Permanent(fmt.Errorf("package %s: %w", dir, err)) // no retry mends it
	}
	page := Page{Package: dir, Synopsis: pkg.Synopsis(pkg.Doc), File: pageFile(dir)}
	if err := writePage(staging, page, pkg); err != nil {
		return Page{}, err
	}
	if r, ok := runtime.Supplied[*rendered](ctx); ok {
		r.add(dir)
	}
	return page, nil
}
