// Index indexes the words of a folder of text files, one task for each file,
// and finds words in them.
//
//	go run ./examples/index [-workers n] [-db file] [-engine URL] [-v] DIR
//	go run ./examples/index search [-db file] WORD
//	go run ./examples/index worker -engine URL [-workers n] [-db file] [-v]
//
// The index is a SQLite file, index.db in the current folder unless -db names
// another. Ctrl-C stops it cleanly; the same command goes on where it stopped,
// and brings an older index up to date. Files that are not text, or cannot be
// read, are listed at the end; folders and files whose names begin with a dot
// are left out, and symbolic links are not followed.
//
// The tasks are in memory unless -engine names a place that outlives the
// process, such as sqlite:tasks.db. Then worker adds processes that share the
// work, on the same machine, with the same -db; -workers 0 leaves all to them.
// For Postgres and Redis, which are much to compile, add -tags servers to go run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// The exit codes, beside 0. That some files could not be indexed is no error
// of the command.
const (
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130 // as shells count it: 128 and the number of SIGINT
)

const usage = `usage: index [-workers n] [-db file] [-engine URL] [-v] DIR
       index search [-db file] WORD
       index worker -engine URL [-workers n] [-db file] [-v]

It indexes the words of the text files below DIR, answers with the lines that
have WORD, or adds a process that indexes what another one enqueues.
`

func main() {
	signal.Ignore(syscall.SIGPIPE) // "search WORD | head" ends like a success: see exitCode
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err))
}

// exitCode prints the error for the user, and returns the exit code.
func exitCode(err error) int {
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp) || errors.Is(err, syscall.EPIPE):
		return 0
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	}
	fmt.Fprintln(os.Stderr, "index:", err)
	return exitError
}

var (
	errUsage       = errors.New("usage")
	errInterrupted = errors.New("interrupted")
)

// command runs the program with its arguments.
func command(ctx context.Context, args []string, out, notes io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "search":
			return searchCommand(ctx, args[1:], out, notes)
		case "worker":
			return workerCommand(ctx, args[1:], out, notes)
		}
	}
	var o indexOptions
	flags := newFlags(notes)
	o.addFlags(flags)
	dir, err := parseOne(flags, args)
	if err != nil {
		return err
	}
	if err := o.check(notes); err != nil {
		return err
	}
	o.progress = func(total int) progress { return newProgress(notes, total, o.verbose) }
	s, err := indexFolder(ctx, dir, o)
	if s != nil {
		s.print(out, o.verbose)
	}
	return err
}

func workerCommand(ctx context.Context, args []string, out, notes io.Writer) error {
	var o appOptions
	flags := newFlags(notes)
	o.addFlags(flags)
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	if o.engine == memoryURL || o.workers == 0 {
		fmt.Fprintln(notes, "a worker needs an -engine that other processes enqueue in, and -workers over 0")
		return errUsage
	}
	if err := o.check(notes); err != nil {
		return err
	}
	return work(ctx, o, out, notes)
}

func searchCommand(ctx context.Context, args []string, out, notes io.Writer) error {
	flags := newFlags(notes)
	db := flags.String("db", "index.db", "the index, a SQLite `file`")
	word, err := parseOne(flags, args)
	if err != nil {
		return err
	}
	return search(ctx, *db, word, out)
}

func newFlags(notes io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("index", flag.ContinueOnError)
	flags.SetOutput(notes)
	flags.Usage = func() {
		fmt.Fprint(notes, usage)
		flags.PrintDefaults()
	}
	return flags
}

// parseOne parses flags and the one argument after them.
func parseOne(flags *flag.FlagSet, args []string) (string, error) {
	err := parse(flags, args, 1)
	return flags.Arg(0), err
}

// parse parses flags and n arguments after them.
func parse(flags *flag.FlagSet, args []string, n int) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage // the flag package has printed it
	}
	if flags.NArg() != n || slices.Contains(flags.Args(), "") {
		flags.Usage()
		return errUsage
	}
	return nil
}
