package main

import (
	"context"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

func open(ctx context.Context, url string) (engine.Engine, error) {
	return postgres.Open(ctx, url, postgres.Config{})
}
