package main

import (
	"flag"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/internal/timetext"
	"github.com/taskctx/taskctx/runtime/engine"
)

// filter are the flags that select tasks.
type filter struct {
	q                        engine.Query
	states, tag, since, till string
	parent, root, priority   string
}

// filterFlags declares them.
func filterFlags(f *flag.FlagSet) *filter {
	var x filter
	f.StringVar(&x.states, "state", "", "only tasks in these `states`, with commas between")
	f.StringVar(&x.q.Name, "name", "", "only tasks of this `name`")
	f.StringVar(&x.q.Queue, "queue", "", "only tasks of this `queue`")
	f.StringVar(&x.priority, "priority", "", "only tasks with these `priorities`, from 0 to 3, with commas between")
	f.StringVar(&x.tag, "tag", "", "only tasks with this tag: `KEY` or KEY:VALUE")
	f.StringVar(&x.q.Reason, "reason", "", "only tasks whose reason has this `text`; * is any text, ^ and $ the ends of its first line")
	f.StringVar(&x.q.Worker, "worker", "", "only tasks that the worker with this `id` runs or ran last")
	f.StringVar(&x.since, "since", "",
		"only tasks that ended, or else began or were enqueued, since: a `time`, or 2h or 7d for so long ago")
	f.StringVar(&x.till, "until", "", "the same, for before that `time`")
	f.StringVar(&x.parent, "parent", "", "only tasks that the task with this `id` has enqueued")
	f.StringVar(&x.root, "root", "", "only tasks of the tree that begins with the task with this `id`, without it")
	return &x
}

// query returns the flags as a query.
func (x *filter) query() (engine.Query, error) {
	q := x.q
	q.Tag, q.TagValue, _ = strings.Cut(x.tag, ":")
	for name := range strings.FieldsFuncSeq(x.states, func(r rune) bool { return r == ',' }) {
		state := engine.State(name)
		if !slices.Contains(engine.States(), state) {
			return q, usagef("no state %q: the states are %s", name, stateNames())
		}
		q.States = append(q.States, state)
	}
	var err error
	if q.Priorities, err = bulk.Priorities(x.priority); err != nil {
		return q, usagef("-priority: %v", err)
	}
	for _, id := range []struct {
		flag, text string
		to         *uuid.UUID
	}{{"-parent", x.parent, &q.Parent}, {"-root", x.root, &q.Root}} {
		if id.text == "" {
			continue
		}
		if *id.to, err = uuid.Parse(id.text); err != nil || *id.to == uuid.Nil {
			return q, usagef("%s: %q is not a task's id", id.flag, id.text)
		}
	}
	now := time.Now()
	if q.Since, err = timetext.Parse(x.since, now); err != nil {
		return q, usagef("-since: %w", err)
	}
	if q.Until, err = timetext.Parse(x.till, now); err != nil {
		return q, usagef("-until: %w", err)
	}
	return q, nil
}

// empty reports whether the flags select every task.
func (x *filter) empty() bool {
	q := x.q
	return x.states+x.tag+x.since+x.till+x.parent+x.root+x.priority+q.Name+q.Queue+q.Reason+q.Worker == ""
}
