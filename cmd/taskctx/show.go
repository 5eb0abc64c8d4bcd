package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// shownEntries is how many entries of a journal are shown without -all.
const shownEntries = 50

// shownValue bounds, in characters, the value of an entry that is shown.
const shownValue = 80

// shown is all that show knows of a task.
type shown struct {
	*runtime.Record
	Journal []inspect.JournalRecord `json:"journal,omitempty"`
}

// showFlags declares show.
func showFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "print each record as a line of JSON")
	tree := f.Bool("tree", false, "print the task and the tasks that it has spawned, and theirs")
	all := f.Bool("all", false, fmt.Sprintf("print more than %d entries of a journal, or tasks of a tree", shownEntries))
	return func(ctx context.Context, s *session, args []string) error {
		most := shownEntries
		if *all || *asJSON {
			most = 0
		}
		return eachID(args, func(id uuid.UUID) error {
			if *tree {
				return showTree(ctx, s, id, *asJSON, most)
			}
			r, err := s.app.Lookup(ctx, id)
			if err != nil {
				return err
			}
			js, err := journalOf(ctx, s.app, id)
			if err != nil {
				return err
			}
			if *asJSON {
				return encodeShown(s.out, shown{r, js})
			}
			if err := printRecord(s.out, r); err != nil {
				return err
			}
			return printJournal(s.out, js, most)
		})
	}
}

// journalOf returns what the task remembers: nothing on an engine that has no
// journals.
func journalOf(ctx context.Context, app *runtime.App, id uuid.UUID) ([]inspect.JournalRecord, error) {
	js, err := app.Journal(ctx, id)
	if errors.Is(err, engine.ErrUnsupported) {
		return nil, nil
	}
	return js, err
}

// encodeShown writes a record with its journal as one line of JSON.
func encodeShown(w io.Writer, s shown) error {
	if len(s.Journal) == 0 {
		return encode(w, s.Record)
	}
	line, err := json.Marshal(s)
	if err != nil { // the store has what JSON cannot write
		return encode(w, s.Record)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// printJournal prints what a task remembers, for people: at most so many entries,
// all if that is 0.
func printJournal(out io.Writer, js []inspect.JournalRecord, most int) error {
	if len(js) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "journal\t%s\n", journalTotals(js))
	for i, j := range js {
		if most > 0 && i >= most {
			fmt.Fprintf(w, "  ...\t%d more: show -all\n", len(js)-most)
			break
		}
		fmt.Fprintf(w, "  %s %s\t%s\n", j.Kind, oneLine(j.Name), entryText(&j))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// journalTotals says how much a journal has, and how far the children are.
func journalTotals(js []inspect.JournalRecord) string {
	children, ended, failed := 0, 0, 0
	for i := range js {
		if js[i].Kind != engine.EntryChild.String() {
			continue
		}
		children++
		if js[i].Came > 0 {
			ended++
			if js[i].State != engine.StateSucceeded {
				failed++
			}
		}
	}
	text := fmt.Sprintf("%d entries", len(js))
	if children > 0 {
		text += fmt.Sprintf(", %d of %d children have ended", ended, children)
	}
	if failed > 0 {
		text += fmt.Sprintf(", %d of them not well", failed)
	}
	return text
}

// entryText is what stands behind the name of an entry.
func entryText(j *inspect.JournalRecord) string {
	if j.Child == uuid.Nil {
		return oneLine(cut(string(j.Value), shownValue))
	}
	text := fmt.Sprintf("%s %s", j.Child, oneLine(j.Task))
	switch {
	case j.Came == 0:
		return text + " has not ended"
	case j.Reason == "":
		return fmt.Sprintf("%s %s", text, j.State)
	}
	return fmt.Sprintf("%s %s: %s", text, j.State, oneLine(firstLine(j.Reason)))
}

// cut returns at most n characters of s.
func cut(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return s
}
