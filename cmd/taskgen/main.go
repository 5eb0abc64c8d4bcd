// Taskgen generates the code that makes tasks of functions with a
// //task:context comment above them. "taskgen help" says more.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen"
)

// The exit codes.
const (
	exitOK    = 0
	exitStale = 1 // a file is stale, or the source has errors
	exitUsage = 2
)

const usage = `Usage: taskgen [-check | -diff] [-lock] [-json] [-tags list] [-v] [packages]

       taskgen list [-json] [packages]
       taskgen graph [-format dot|mermaid] [packages]
       taskgen schema [-format jsonschema|openapi|asyncapi|ts|sql] [packages]
       taskgen help [task:context | task:provide | task:defaults | task:client]
       taskgen -version

Taskgen reads the packages (the one in this directory if none are named, all
below it with ./...), and writes tasks_gen.go where there are tasks.

`

func main() {
	debug.SetGCPercent(400) // a run is short, and its garbage small
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "help", "-h", "-help", "--help":
			return help(args[1:], stdout, stderr)
		case "list":
			return list(ctx, args[1:], stdout, stderr)
		case "graph":
			return graph(ctx, args[1:], stdout, stderr)
		case "schema":
			return schema(ctx, args[1:], stdout, stderr)
		case "version", "-version", "--version":
			fmt.Fprintln(stdout, "taskgen", version())
			return exitOK
		}
	}
	return generate(ctx, args, stdout, stderr)
}

// version returns the version of this module that taskgen was built from, "(devel)"
// in a clone, and that of Go.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown) " + runtime.Version()
	}
	text := cmp.Or(info.Main.Version, "(devel)") + " " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += " " + s.Value
		}
	}
	return text
}

// options are the flags that all commands share.
type options struct {
	tags *string
	json *bool
}

func newFlags(name string, stderr io.Writer) (*flag.FlagSet, *options) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, usage)
		fs.PrintDefaults()
	}
	return fs, &options{
		tags: fs.String("tags", "", "build tags, with commas between"),
		json: fs.Bool("json", false, "print JSON"),
	}
}

// config returns the configuration of the flags.
func (o *options) config(fs *flag.FlagSet) (gen.Config, error) {
	wd, err := os.Getwd()
	if err != nil {
		return gen.Config{}, err
	}
	cfg := gen.Config{Dir: wd, Patterns: fs.Args(), CacheDir: gen.CacheDir()}
	fs.Visit(func(f *flag.Flag) {
		if f.Name == "tags" {
			cfg.Tags = strings.FieldsFunc(*o.tags, func(r rune) bool { return r == ',' || r == ' ' })
			if cfg.Tags == nil {
				cfg.Tags = []string{}
			}
		}
	})
	return cfg, nil
}

// parse parses the flags. If the command is over, it returns false and the
// exit code.
func parse(fs *flag.FlagSet, args []string) (code int, ok bool) {
	err := fs.Parse(args)
	switch {
	case err == nil:
		return 0, true
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	}
	return exitUsage, false
}

func help(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stdout, usage)
		fs, _ := newFlags("taskgen", stdout)
		newGenerateFlags(fs)
		fs.PrintDefaults()
		fmt.Fprint(stdout, "\nThe directives:\n\n"+annotations.Help(""))
		return exitOK
	}
	verb := strings.TrimPrefix(strings.TrimPrefix(args[0], "//"), annotations.Tool+":")
	text := annotations.Help(verb)
	if text == "" {
		fmt.Fprintf(stderr, "taskgen: there is no directive %q; see taskgen help\n", args[0])
		return exitUsage
	}
	fmt.Fprint(stdout, text)
	return exitOK
}

// load runs the generator without writing, for commands that write nothing.
func load(ctx context.Context, fs *flag.FlagSet, opts *options, stderr io.Writer) (*gen.Result, int) {
	cfg, err := opts.config(fs)
	if err == nil {
		cfg.DryRun, cfg.Models = true, true
		var res *gen.Result
		if res, err = gen.Run(ctx, cfg); err == nil {
			if len(res.Diagnostics) > 0 {
				return nil, report(res, cfg.Dir, stderr)
			}
			return res, exitOK
		}
	}
	fmt.Fprintln(stderr, "taskgen:", err)
	return nil, exitStale
}

// report prints the mistakes in the source.
func report(res *gen.Result, dir string, stderr io.Writer) int {
	for _, d := range res.Diagnostics {
		fmt.Fprintln(stderr, d.Text(dir))
	}
	return exitStale
}

func list(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs, opts := newFlags("taskgen list", stderr)
	if code, ok := parse(fs, args); !ok {
		return code
	}
	res, code := load(ctx, fs, opts, stderr)
	if res == nil {
		return code
	}
	if *opts.json {
		wd, _ := os.Getwd() // known to work: the generator ran here
		return printed(gen.WriteListJSON(stdout, res, wd), stderr)
	}
	return printed(gen.WriteList(stdout, res), stderr)
}

func graph(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs, opts := newFlags("taskgen graph", stderr)
	format := fs.String("format", "dot", "dot or mermaid")
	if code, ok := parse(fs, args); !ok {
		return code
	}
	if *format != "dot" && *format != "mermaid" {
		fmt.Fprintf(stderr, "taskgen: -format is dot or mermaid, not %q\n", *format)
		return exitUsage
	}
	res, code := load(ctx, fs, opts, stderr)
	if res == nil {
		return code
	}
	if *format == "mermaid" {
		return printed(gen.WriteMermaid(stdout, res), stderr)
	}
	return printed(gen.WriteDOT(stdout, res), stderr)
}

func printed(err error, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintln(stderr, "taskgen:", err)
		return exitStale
	}
	return exitOK
}
