// Command taskctx looks after the tasks of an engine: it lists and shows them,
// cancels, retries and deletes them, and watches the queues.
//
//	taskctx -engine sqlite:tasks.db list -state failed
//
// Run it without arguments for its usage. It exits with 0, with 1 when
// something could not be done, and with 2 when it was called wrongly.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
