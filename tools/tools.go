//go:build tools

// Package tools pins the programs that the Makefile runs, in a module of its
// own: their dependencies do not concern users of taskctx.
package tools

import (
	_ "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"
	_ "golang.org/x/perf/cmd/benchstat"
	_ "golang.org/x/vuln/cmd/govulncheck"
)
