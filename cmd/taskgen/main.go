// Taskgen generates the code that makes tasks of functions with a
// //task:context comment above them.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/taskctx/taskctx/gen"
)

func main() {
	res, err := gen.Run(context.Background(), gen.Config{Patterns: os.Args[1:]})
	if err != nil {
		fmt.Fprintln(os.Stderr, "taskgen:", err)
		os.Exit(1)
	}
	wd, _ := os.Getwd()
	for _, d := range res.Diagnostics {
		fmt.Fprintln(os.Stderr, d.Text(wd))
	}
	if len(res.Diagnostics) > 0 {
		os.Exit(1)
	}
}
