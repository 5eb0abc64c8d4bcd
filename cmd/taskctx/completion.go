package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
)

// completions are the scripts by which shells complete the words of a call: they call
// taskctx complete.
var completions = map[string]string{
	"bash": `_taskctx() {
	local IFS=$'\n'
	COMPREPLY=($(taskctx complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _taskctx taskctx
`,
	"zsh": `#compdef taskctx
_taskctx() {
	local -a found
	found=("${(@f)$(taskctx complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	compadd -a found
}
compdef _taskctx taskctx
`,
	"fish": `complete -c taskctx -f -a '(taskctx complete -- (commandline -opc)[2..-1] (commandline -ct))'
`,
}

// completion prints the script of a shell.
func completion(out io.Writer, args []string) error {
	if len(args) == 1 {
		if text, ok := completions[args[0]]; ok {
			_, err := io.WriteString(out, text)
			return err
		}
	}
	return usagef("completion needs a shell: bash, zsh or fish; for example: source <(taskctx completion bash)")
}

// complete prints the words that may stand in place of the last one.
func complete(ctx context.Context, out io.Writer, url string, words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	last, before := words[len(words)-1], words[:len(words)-1]
	for _, w := range candidates(ctx, url, before) {
		if strings.HasPrefix(w, last) {
			fmt.Fprintln(out, w)
		}
	}
}

// candidates are the words that may follow.
func candidates(ctx context.Context, url string, before []string) []string {
	command, at := commandIn(before)
	for i, w := range before {
		if name := strings.TrimLeft(w, "-"); name != w && name == "engine" && i+1 < len(before) {
			url = before[i+1]
		}
	}
	f := flag.NewFlagSet("taskctx", flag.ContinueOnError)
	f.String("engine", "", "")
	if command != nil {
		command.flags(f)
	}
	if len(before) > 0 {
		if name := strings.TrimLeft(before[len(before)-1], "-"); name != before[len(before)-1] {
			if x := f.Lookup(name); x != nil && !isSwitch(x) {
				return valuesOf(ctx, url, name)
			}
		}
	}
	var words []string
	f.VisitAll(func(x *flag.Flag) { words = append(words, "-"+x.Name) })
	switch {
	case command != nil && (command.name == "pause" || command.name == "resume"):
		return append(words, valuesOf(ctx, url, "queue")...)
	case command != nil:
		return words
	case at >= 0 && before[at] == "completion":
		return slices.Sorted(maps.Keys(completions))
	case at >= 0: // help
		words = slices.Collect(maps.Keys(topics))
	default:
		words = append(words, "help", "completion")
	}
	for _, c := range commands() {
		words = append(words, c.name)
	}
	return words
}

// commandIn returns the command of a call, and where it is: nil for help and
// completion, and -1 if there is none yet.
func commandIn(words []string) (*command, int) {
	for i, w := range words {
		if w == "help" || w == "completion" {
			return nil, i
		}
		for _, c := range commands() {
			if c.name == w {
				return &c, i
			}
		}
	}
	return nil, -1
}

// isSwitch reports whether a flag takes no value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// askWithin is how long the engine is asked for words.
const askWithin = 2 * time.Second

// valuesOf are the values of a flag that are known.
func valuesOf(ctx context.Context, url, name string) (values []string) {
	switch name {
	case "engine":
		for _, s := range engines.Schemes() {
			values = append(values, s.Name+":")
		}
	case "state":
		for _, s := range engine.States() {
			values = append(values, string(s))
		}
	case "priority":
		for p := range engine.Priorities {
			values = append(values, strconv.Itoa(p))
		}
	case "queue", "name", "worker":
		ctx, cancel := context.WithTimeout(ctx, askWithin)
		defer cancel()
		return askEngine(ctx, url, name)
	}
	return values
}

// askEngine asks the engine for names. One that does not answer has none.
func askEngine(ctx context.Context, url, what string) (values []string) {
	e, err := engines.OpenExisting(ctx, url)
	if err != nil {
		return nil
	}
	defer func() { _ = e.Close() }() // nothing was written
	app := runtime.New(e, runtime.Config{})
	workers, err := app.Workers(ctx)
	if err != nil {
		workers = nil // the counts may tell
	}
	for _, w := range workers {
		switch what {
		case "queue":
			values = append(values, w.Queues...)
		case "name":
			values = append(values, w.Names...)
		default:
			values = append(values, w.ID)
		}
	}
	if what == "queue" {
		counts, err := app.Counts(ctx)
		if err != nil {
			counts = nil
		}
		for _, c := range counts {
			values = append(values, c.Queue)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}
