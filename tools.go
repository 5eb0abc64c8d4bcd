//go:build tools

// This file pins the development tools that the Makefile runs and that are
// light enough for this module's own go.mod. No build has it: "go mod tidy"
// reads it. The heavy ones, golangci-lint and govulncheck, whose dependencies no
// user of this module should have to resolve, are pinned in tools/go.mod, and
// the generators to measure beside in tools/peers/go.mod.

package taskctx

import (
	_ "golang.org/x/perf/cmd/benchstat" // make bench
)
