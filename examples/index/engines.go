package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// openEngine opens the engine that a URL names. The program links the two that
// need no server, so that its first run compiles little; with the build tag
// servers it links all.
var openEngine = openLocal

func openLocal(_ context.Context, url string) (engine.Engine, error) {
	if url == memoryURL {
		return memory.New(memory.Config{Wait: true}), nil
	}
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok || path == "" || strings.HasPrefix(path, "//") {
		name, _, _ := strings.Cut(url, ":") // the rest may hold a password
		return nil, fmt.Errorf("unknown engine %q: write memory: or sqlite:tasks.db, or go run -tags servers for others", name)
	}
	e, err := sqlite.Open(path, sqlite.Config{})
	if err != nil {
		return nil, fmt.Errorf("open engine sqlite: %w", err)
	}
	return e, nil
}
