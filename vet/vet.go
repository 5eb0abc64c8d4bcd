// Package vet finds mistakes in the bodies of tasks, which taskgen does not
// read, and what taskgen would say of their declarations. The command taskvet
// runs it by itself and under "go vet -vettool"; package vet/golangci is a
// module plugin of golangci-lint.
//
// Each analyzer reports only what is certain from the package at hand: what
// fails or does harm whenever it runs. docs/taskvet.md shows each with its mend.
package vet

import (
	"golang.org/x/tools/go/analysis"
)

// page documents the analyzers, a heading for each.
const page = "https://github.com/taskctx/taskctx/blob/main/docs/taskvet.md#"

// Analyzers returns all analyzers, in the order of the documentation.
func Analyzers() []*analysis.Analyzer {
	return []*analysis.Analyzer{
		Directive, Fresh, Sleep, Background, Goroutine, Wait, Unused, Key, Exit, Transaction,
		StepName, StepContext, Suspended,
	}
}
