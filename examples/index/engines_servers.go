//go:build servers

package main

import "github.com/taskctx/taskctx/runtime/engine"

func init() { openEngine = engine.Open }
