package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// treeTasks is how many tasks of a tree are shown without -all.
const treeTasks = 200

// treeFlags declares tree: by the parents of tasks, where show -tree goes by journals.
func treeFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "print each tree as a line of JSON")
	all := f.Bool("all", false, fmt.Sprintf("print more than %d tasks", treeTasks))
	return func(ctx context.Context, s *session, args []string) error {
		most := treeTasks
		if *all || *asJSON {
			most = 0
		}
		return eachID(args, func(id uuid.UUID) error {
			root, more, err := s.family(ctx, id, most)
			if err != nil {
				return err
			}
			if *asJSON {
				return json.NewEncoder(s.out).Encode(root)
			}
			(&grove{s: s}).print(root, 0)
			if more {
				fmt.Fprintln(s.errOut, "there are more: tree -all")
			}
			return nil
		})
	}
}

// family reads a task and those below it, of at most so many tasks of its tree, if
// most is not 0.
func (s *session) family(ctx context.Context, id uuid.UUID, most int) (top *node, more bool, err error) {
	r, err := s.app.Lookup(ctx, id)
	if err != nil {
		return nil, false, err
	}
	nodes := map[uuid.UUID]*node{id: nodeOf(r)}
	children := make(map[uuid.UUID][]uuid.UUID)
	q := engine.Query{Root: r.RootID, Brief: true, Limit: countPage}
	for {
		records, next, err := s.app.List(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, c := range records {
			if nodes[c.ID] == nil {
				nodes[c.ID] = nodeOf(c)
			}
			if c.ID != id {
				children[c.ParentID] = append(children[c.ParentID], c.ID)
			}
		}
		if more = next != "" && most > 0 && len(nodes) >= most; more || next == "" {
			break
		}
		q.Cursor = next
	}
	left := most
	var add func(id uuid.UUID)
	add = func(id uuid.UUID) {
		n := nodes[id]
		for _, c := range children[id] {
			if left--; most > 0 && left <= 0 {
				more = true
				return
			}
			n.Children = append(n.Children, nodes[c])
			add(c)
		}
	}
	add(id)
	return nodes[id], more, nil
}

// countPage is how many tasks are read at a time.
const countPage = 1000

func nodeOf(r *runtime.Record) *node {
	return &node{ID: r.ID, Name: r.Name, State: r.State, Reason: r.Reason}
}

// below appends the ids of a tree, the deepest last.
func (n *node) below(ids []uuid.UUID) []uuid.UUID {
	ids = append(ids, n.ID)
	for _, c := range n.Children {
		ids = c.below(ids)
	}
	return ids
}

// cancelTrees cancels tasks with all that they have enqueued, once somebody has
// agreed. It goes down: a task that is cancelled enqueues no more.
func (s *session) cancelTrees(ctx context.Context, f *flag.FlagSet, why string, args []string) error {
	if f.Lookup("all").Value.String() == "true" || len(args) == 0 {
		return usagef("-tree needs IDs, and no -all")
	}
	ids, err := parseIDs(args)
	if err != nil {
		return err
	}
	survey := bulk.Survey{Groups: make(map[bulk.Group]int)}
	var open []uuid.UUID
	for _, id := range ids {
		top, _, err := s.family(ctx, id, 0)
		if err != nil {
			return err
		}
		for _, id := range top.below(nil) {
			r, err := s.app.Lookup(ctx, id)
			if errors.Is(err, runtime.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if bulk.Cancel.Possible(r.State) && !slices.Contains(open, id) {
				survey.Groups[bulk.Group{Name: r.Name, State: r.State}]++
				open = append(open, id)
			}
		}
	}
	if len(open) == 0 {
		fmt.Fprintln(s.errOut, "no such tasks")
		return nil
	}
	if f.Lookup("yes").Value.String() != "true" {
		printGroups(s.errOut, survey.Groups)
		if err := s.ask(fmt.Sprintf("cancel %d task(s)?", len(open))); err != nil {
			return err
		}
	}
	var r bulk.Result
	err = bulk.Each(ctx, s.app, bulk.Cancel, open, why, &r)
	fmt.Fprintf(s.out, "%d done, %d failed\n", r.Done, r.Failed)
	errs := []error{err}
	for _, e := range r.Errors {
		errs = append(errs, e.Err)
	}
	return errors.Join(errs...)
}

// scheduled is a schedule as its tasks tell.
type scheduled struct {
	Name   string          `json:"name"`
	Task   string          `json:"task"`
	Tasks  int             `json:"tasks"`
	Newest *runtime.Record `json:"newest"`
}

// schedulesFlags declares schedules. What ticks next only the process knows that has
// the schedule.
func schedulesFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "print each schedule as a line of JSON")
	return func(ctx context.Context, s *session, _ []string) error {
		by := make(map[string]*scheduled)
		err := s.each(ctx, engine.Query{Tag: runtime.TagEvery, Brief: true, Limit: countPage}, func(r *runtime.Record) {
			name := r.Tags.Get(runtime.TagEvery)
			x := by[name]
			if x == nil {
				x = &scheduled{Name: name}
				by[name] = x
			}
			if x.Tasks++; x.Newest == nil || r.EnqueuedAt.After(x.Newest.EnqueuedAt) {
				x.Task, x.Newest = r.Name, r
			}
		})
		if err != nil {
			return err
		}
		var all []*scheduled
		for _, x := range by {
			all = append(all, x)
		}
		slices.SortFunc(all, func(x, y *scheduled) int { return cmp.Compare(x.Name, y.Name) })
		if *asJSON {
			for _, x := range all {
				if err := encodeLine(s.out, x); err != nil {
					return err
				}
			}
			return nil
		}
		if len(all) == 0 {
			fmt.Fprintln(s.errOut, "no task of a schedule is kept")
			return nil
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SCHEDULE\tTASK\tKEPT\tNEWEST\tSTATE\tID")
		for _, x := range all {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", oneLine(x.Name), oneLine(x.Task), x.Tasks, showTime(x.Newest.EnqueuedAt), x.Newest.State, x.Newest.ID)
		}
		return w.Flush()
	}
}

// each calls do for all tasks of a query.
func (s *session) each(ctx context.Context, q engine.Query, do func(r *runtime.Record)) error {
	for {
		records, next, err := s.app.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range records {
			do(r)
		}
		if next == "" {
			return nil
		}
		q.Cursor = next
	}
}

// topics are what help says beside the commands.
var topics = map[string]string{
	"engines": `
An engine is named by a URL, in -engine or $TASKCTX_ENGINE:

  sqlite:tasks.db                        a file; sqlite:/srv/tasks.db is an absolute path
  postgres://user@host/database          Postgres; ?schema=jobs for another schema than taskctx's own,
                                         further parameters as libpq has them, such as ?sslmode=verify-full
  redis://host:6379/0                    Redis; rediss:// with TLS
  memory:                                of no use here: it is the memory of another process

Passwords belong into the URL, with %, /, ?, #, @ and : escaped, or for Postgres into PGPASSWORD or ~/.pgpass.
Nothing is created or migrated by looking.
`,
	"filters": `
list, retry -all, cancel -all and delete -all select tasks by the same flags, which all must hold:

  -state failed,cancelled   states: scheduled, pending, running, retrying, waiting, succeeded, failed, cancelled
  -name, -queue, -worker    exactly these
  -tag KEY or KEY:VALUE     a tag
  -reason 'card * declined' text in the reason; * is any text, ^ the begin and $ the end of its first line
  -since 2h -until 10m      when something last became of the task: so long ago, or a time as 2026-01-02T15:04
  -parent ID                tasks that one has enqueued
  -root ID                  all tasks of a tree but its first
`,
	"night": `
What is broken?     taskctx watch; taskctx workers; taskctx paused
Since when?         taskctx list -state failed -since 2h -newest
Why?                taskctx list -state failed -reason 'declined'; taskctx show ID; taskctx tree ID
What do I press?    taskctx retry -all -state failed -reason 'declined'   (it says how many, and asks)
                    taskctx delete -all ...; taskctx cancel -tree ID; taskctx pause QUEUE; taskctx resume QUEUE
The same on pages:  taskctx serve
`,
	"exit": `
0 all was done; 1 something was not, and the error says what; 2 the call is wrong; 130 it was interrupted.
`,
}
