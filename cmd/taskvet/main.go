// Taskvet finds mistakes in tasks: in their directives, and in what their bodies
// do. It is run by itself, as "taskvet ./...", or by the go command, as
// "go vet -vettool=$(which taskvet) ./...". "taskvet help" lists what it looks
// for; -fix applies the suggested fixes.
package main

import (
	"golang.org/x/tools/go/analysis/multichecker"

	"github.com/taskctx/taskctx/vet"
)

func main() { multichecker.Main(vet.Analyzers()...) }
