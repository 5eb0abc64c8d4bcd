package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
)

// engineVariable names the environment variable that -engine defaults to.
const engineVariable = "TASKCTX_ENGINE"

// command is one of taskctx's commands.
type command struct {
	name, args, help string
	// flags declares the command's flags and returns its action for the
	// remaining arguments.
	flags func(f *flag.FlagSet) action
}

// action is the work of a command.
type action func(ctx context.Context, s *session, args []string) error

// session is one call of the program.
type session struct {
	app         *runtime.App
	in          io.Reader
	out, errOut escaper
}

// logger logs to where errors go.
func (s *session) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s.errOut, nil)) }

// usageError is a call with wrong arguments.
type usageError struct{ error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func commands() []command {
	return []command{
		{"list", "", "list tasks, oldest first", listFlags},
		{"show", "ID...", "show all that is known of tasks", showFlags},
		{"tree", "ID...", "show tasks with all that they have enqueued", treeFlags},
		{"cancel", "[ID...]", "cancel tasks, waiting or running", cancelFlags},
		{"retry", "[ID...]", "run failed or cancelled tasks once more", eachFlags("retried", bulk.Retry)},
		{"run", "[ID...]", "run scheduled tasks now, and those to be retried", eachFlags("due now", bulk.Run)},
		{"delete", "[ID...]", "forget tasks that do not run", eachFlags("deleted", bulk.Delete)},
		{"pause", "NAME...", "pause queues, or with -task tasks by name",
			pauseFlags("paused", (*runtime.App).Pause, (*runtime.App).PauseTask)},
		{"resume", "NAME...", "end a pause",
			pauseFlags("resumed", (*runtime.App).Resume, (*runtime.App).ResumeTask)},
		{"paused", "", "list what is paused", pausedFlags},
		{"limits", "", "show the limits of tasks, and set them", limitsFlags},
		{"schedules", "", "list the schedules whose tasks are kept, with the newest of each", schedulesFlags},
		{"workers", "", "list the workers, and how much they run", workersFlags},
		{"watch", "", "show the queues, live", watchFlags},
		{"serve", "", "serve a dashboard and a JSON API", serveFlags},
	}
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out, errOut := escaper{stdout}, escaper{stderr}
	top := flag.NewFlagSet("taskctx", flag.ContinueOnError)
	url := top.String("engine", os.Getenv(engineVariable), "the engine's URL")
	switch err := parse(top, args); {
	case errors.Is(err, flag.ErrHelp):
		printUsage(out)
		return 0
	case err != nil:
		fmt.Fprintf(errOut, "taskctx: %v\n", err)
		return exitCode(err)
	}
	name, rest := top.Arg(0), top.Args()
	if name == "help" {
		if name, rest = top.Arg(1), []string{"", "-h"}; name == "" {
			printUsage(out)
			return 0
		}
		if text, ok := topics[name]; ok {
			fmt.Fprintln(out, strings.TrimSpace(text))
			return 0
		}
	}
	switch name {
	case "completion":
		return report(errOut, command{name: name}, completion(stdout, rest[1:])) // a text of ours, with tabs
	case "complete": // for shells
		complete(ctx, out, *url, slices.DeleteFunc(rest[1:], func(w string) bool { return w == "--" }))
		return 0
	}
	for _, c := range commands() {
		if c.name == name {
			return report(errOut, c, runCommand(ctx, c, *url, rest[1:], out, errOut))
		}
	}
	if name != "" {
		fmt.Fprintf(errOut, "taskctx: there is no command %q\n\n", name)
	}
	printUsage(errOut)
	return exitUsage
}

// parse parses flags, and prints nothing. Its error is a wrong call, or
// flag.ErrHelp.
func parse(f *flag.FlagSet, args []string) error {
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usagef("%w; %s -h shows its flags", err, f.Name())
}

func runCommand(ctx context.Context, c command, url string, args []string, out, errOut escaper) (err error) {
	f := flag.NewFlagSet("taskctx "+c.name, flag.ContinueOnError)
	given := f.String("engine", "", "the engine's `URL`, by default $"+engineVariable)
	do := c.flags(f)
	if err := parse(f, args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(out, "usage: %s\n\n%s\n\n", strings.TrimSpace("taskctx "+c.name+" [flags] "+c.args), c.help)
			var flags strings.Builder
			f.SetOutput(&flags)
			f.PrintDefaults()
			fmt.Fprint(out, manyLines(flags.String()))
		}
		return err
	}
	if url = cmp.Or(*given, url); url == "" {
		return usagef("no engine: set -engine or %s, for example to sqlite:tasks.db", engineVariable)
	}
	if c.args == "" && f.NArg() > 0 {
		return usagef("%s takes no arguments: %s", c.name, strings.Join(f.Args(), " "))
	}
	if c.args != "" && c.args[0] != '[' && f.NArg() == 0 {
		return usagef("%s needs %s", c.name, c.args)
	}
	e, err := open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return do(ctx, &session{app: runtime.New(e, runtime.Config{}), in: os.Stdin, out: out, errOut: errOut}, f.Args())
}

// openWithin is how long an engine may take to open: long enough for a slow
// network, short for a mistaken port.
const openWithin = 15 * time.Second

func open(ctx context.Context, url string) (engine.Engine, error) {
	limited, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	e, err := engines.OpenExisting(limited, url)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("no answer within %v: %w", openWithin, err)
	}
	return e, err
}

// The exit codes, beside 0.
const (
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130 // as shells count it: 128 and the number of SIGINT
)

// report prints the error of a command and returns the exit code.
func report(errOut io.Writer, c command, err error) int {
	code := exitCode(err)
	if code != 0 && code != exitInterrupted {
		fmt.Fprintf(errOut, "taskctx %s: %v\n", c.name, err)
	}
	return code
}

func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitError
}

func printUsage(w io.Writer) {
	fmt.Fprintf(w, "usage: taskctx -engine URL COMMAND [flags] [arguments]\n\ncommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-14s %s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
	}
	fmt.Fprintf(w, "  %-14s %s\n", "completion", "print what bash, zsh or fish need to complete words")
	fmt.Fprintf(w, "\nThe engine is one of:\n")
	for _, s := range engines.Schemes() {
		fmt.Fprintf(w, "  %-40s %s\n", s.Example, s.Help)
	}
	fmt.Fprintf(w, "It defaults to $%s. taskctx COMMAND -h shows a command's flags, and taskctx help TOPIC\n"+
		"says more about one of: %s.\n\n",
		engineVariable, strings.Join(slices.Sorted(maps.Keys(topics)), ", "))
	fmt.Fprintf(w, "To run all failed tasks of a queue again:\n  taskctx retry -all -state failed -queue mail\n")
}

// parseIDs reads task ids; every mistake is in the error.
func parseIDs(args []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, 0, len(args))
	var bad []string
	for _, a := range args {
		id, err := uuid.Parse(a)
		if err != nil {
			bad = append(bad, a)
			continue
		}
		ids = append(ids, id)
	}
	if len(bad) > 0 {
		return nil, usagef("not a task's id: %s", strings.Join(bad, ", "))
	}
	return ids, nil
}
