package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"github.com/taskctx/taskctx/gen"
	"github.com/taskctx/taskctx/gen/diag"
)

// generateFlags are the flags of the unnamed command.
type generateFlags struct{ check, diff, lock, verbose *bool }

func newGenerateFlags(fs *flag.FlagSet) generateFlags {
	return generateFlags{
		check:   fs.Bool("check", false, "write nothing; fail with a diff when a generated file or tasks.lock is stale"),
		diff:    fs.Bool("diff", false, "write nothing; print what would change"),
		lock:    fs.Bool("lock", false, "write tasks.lock: accept all tasks as they are now"),
		verbose: fs.Bool("v", false, "name each generated file, and what became of it"),
	}
}

// generate is the unnamed command.
func generate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs, opts := newFlags("taskgen", stderr)
	flags := newGenerateFlags(fs)
	if code, ok := parse(fs, args); !ok {
		return code
	}
	if *flags.check && *flags.diff {
		fmt.Fprintln(stderr, "taskgen: -check and -diff exclude each other")
		return exitUsage
	}
	cfg, err := opts.config(fs)
	if err != nil {
		fmt.Fprintln(stderr, "taskgen:", err)
		return exitStale
	}
	cfg.DryRun, cfg.Lock = *flags.check || *flags.diff, *flags.lock
	res, err := gen.Run(ctx, cfg)
	if err != nil {
		fmt.Fprintln(stderr, "taskgen:", err)
		return exitStale
	}
	stale, lacks := staleOf(res)
	if *flags.verbose && !*opts.json {
		for _, f := range res.Files {
			fmt.Fprintf(stderr, "%s: %s\n", diag.Rel(f.Name, cfg.Dir), f.State(cfg.DryRun))
		}
	}
	switch {
	case *opts.json:
		err = printJSON(stdout, res, cfg)
	case *flags.diff:
		_, err = stdout.Write(diffs(res, cfg.Dir))
	case *flags.check:
		_, err = stderr.Write(diffs(res, cfg.Dir))
	}
	if err != nil {
		fmt.Fprintln(stderr, "taskgen:", err)
		return exitStale
	}
	if len(res.Diagnostics) > 0 {
		if !*opts.json {
			report(res, cfg.Dir, stderr)
		}
		return exitStale
	}
	if !*opts.json {
		for _, d := range res.Notes {
			fmt.Fprintln(stderr, "note:", d.Text(cfg.Dir))
		}
	}
	if !cfg.DryRun || stale == 0 && !lacks {
		return exitOK
	}
	if *flags.check && !*opts.json {
		sayStale(stderr, stale, lacks)
	}
	return exitStale
}

// staleOf counts the generated files that are stale; lacks says that tasks.lock is.
func staleOf(res *gen.Result) (stale int, lacks bool) {
	for _, f := range res.Files {
		switch {
		case !f.Stale():
		case filepath.Base(f.Name) == gen.LockFile:
			lacks = true
		default:
			stale++
		}
	}
	return stale, lacks
}

func sayStale(w io.Writer, stale int, lacks bool) {
	if stale > 0 {
		fmt.Fprintf(w, "taskgen: %d generated file(s) stale: run go generate\n", stale)
	}
	if lacks {
		fmt.Fprintln(w, "taskgen: tasks.lock lacks what may be enqueued from now on: run taskgen -lock ./...")
	}
}

func diffs(res *gen.Result, dir string) []byte {
	var all []byte
	for _, f := range res.Files {
		all = append(all, f.Diff(dir)...)
	}
	return all
}

// The JSON that -json prints.
type jsonResult struct {
	Diagnostics []jsonDiagnostic `json:"diagnostics"`
	Notes       []jsonDiagnostic `json:"notes,omitempty"`
	Files       []jsonFile       `json:"files"`
}

type jsonFile struct {
	File  string `json:"file"`
	State string `json:"state"`
}

type jsonPlace struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

type jsonDiagnostic struct {
	jsonPlace
	EndLine   int           `json:"endLine,omitempty"`
	EndColumn int           `json:"endColumn,omitempty"`
	Code      string        `json:"code"`
	Message   string        `json:"message"`
	Fix       string        `json:"fix,omitempty"`
	Related   []jsonRelated `json:"related,omitempty"`
}

type jsonRelated struct {
	jsonPlace
	Message string `json:"message"`
}

func printJSON(w io.Writer, res *gen.Result, cfg gen.Config) error {
	out := jsonResult{Diagnostics: []jsonDiagnostic{}, Files: []jsonFile{}}
	for _, d := range res.Diagnostics {
		out.Diagnostics = append(out.Diagnostics, newJSONDiagnostic(d, cfg.Dir))
	}
	for _, d := range res.Notes {
		out.Notes = append(out.Notes, newJSONDiagnostic(d, cfg.Dir))
	}
	for _, f := range res.Files {
		out.Files = append(out.Files, jsonFile{diag.Rel(f.Name, cfg.Dir), f.State(cfg.DryRun)})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	return enc.Encode(out)
}

func newJSONDiagnostic(d diag.Diagnostic, dir string) jsonDiagnostic {
	j := jsonDiagnostic{
		jsonPlace: jsonPlace{diag.Rel(d.Pos.Filename, dir), d.Pos.Line, d.Pos.Column},
		EndLine:   d.End.Line, EndColumn: d.End.Column, Code: d.Code, Message: d.Message, Fix: d.Fix,
	}
	for _, r := range d.Related {
		j.Related = append(j.Related, jsonRelated{
			jsonPlace{diag.Rel(r.Pos.Filename, dir), r.Pos.Line, r.Pos.Column}, r.Message,
		})
	}
	return j
}
