package main

import (
	"context"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
)

func open(ctx context.Context, url string) (engine.Engine, error) { return engines.Open(ctx, url) }
