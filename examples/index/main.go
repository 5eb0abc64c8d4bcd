// Index indexes the words of a folder of text files, one task for each file,
// and finds words in them.
//
//	go run ./examples/index [-workers n] [-db file] [-v] DIR
//	go run ./examples/index search [-db file] WORD
//
// The index is a SQLite file, index.db in the current folder unless -db names
// another. Ctrl-C stops it cleanly; the same command goes on where it stopped,
// and brings an older index up to date. Files that are not text, or cannot be
// read, are listed at the end; folders and files whose names begin with a dot
// are left out, and symbolic links are not followed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// The exit codes, beside 0. That some files could not be indexed is no error
// of the command.
const (
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130 // as shells count it: 128 and the number of SIGINT
)

const usage = `usage: index [-workers n] [-db file] [-v] DIR
       index search [-db file] WORD

It indexes the words of the text files below DIR, or answers with the lines
that have WORD.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err))
}

// exitCode tells the user what went wrong, and the shell.
func exitCode(err error) int {
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
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
	if len(args) > 0 && args[0] == "search" {
		return searchCommand(ctx, args[1:], out, notes)
	}
	o := indexOptions{log: slog.New(slog.DiscardHandler)} // the summary lists what failed
	flags := newFlags(notes)
	flags.StringVar(&o.db, "db", "index.db", "the index, a SQLite `file`")
	flags.IntVar(&o.workers, "workers", runtime.NumCPU(), "index `n` files at a time")
	verbose := flags.Bool("v", false, "list every file that failed, and log what the tasks do")
	dir, err := parseOne(flags, args)
	if err != nil {
		return err
	}
	if o.workers < 1 {
		fmt.Fprintf(notes, "-workers %d: it must be at least 1\n", o.workers)
		return errUsage
	}
	if *verbose {
		o.log = slog.New(slog.NewTextHandler(notes, nil))
	}
	o.progress = func(total int) progress { return newProgress(notes, total, *verbose) }
	s, err := indexFolder(ctx, dir, o)
	if s != nil {
		s.print(out, *verbose)
	}
	return err
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
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return "", err
		}
		return "", errUsage // the flag package has told it
	}
	if flags.NArg() != 1 || flags.Arg(0) == "" {
		flags.Usage()
		return "", errUsage
	}
	return flags.Arg(0), nil
}
