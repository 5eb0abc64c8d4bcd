package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	tasks "github.com/taskctx/taskctx/gen/schema"
)

// schema prints the tasks for programs in other languages.
func schema(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs, opts := newFlags("taskgen schema", stderr)
	format := fs.String("format", "jsonschema", strings.Join(tasks.Formats(), ", "))
	db := fs.String("dbschema", tasks.DefaultSQLSchema, "with -format sql: the schema of the tables")
	if code, ok := parse(fs, args); !ok {
		return code
	}
	if !slices.Contains(tasks.Formats(), *format) {
		fmt.Fprintf(stderr, "taskgen: -format is one of %s, not %q\n", strings.Join(tasks.Formats(), ", "), *format)
		return exitUsage
	}
	res, code := load(ctx, fs, opts, stderr)
	if res == nil {
		return code
	}
	if *format == "sql" {
		return printed(tasks.WriteSQL(stdout, res, *db), stderr)
	}
	return printed(tasks.Write(stdout, res, *format), stderr)
}
