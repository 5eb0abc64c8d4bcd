//go:build servers

package main

import "github.com/taskctx/taskctx/runtime/engines"

func init() { openEngine = engines.Open }
