package gen

import (
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
)

// keys applies the directive's keys, and the package's defaults for the
// others.
func (b *builder) keys(t *Task) {
	t.Name = taskName(b.Name, b.Path, t.Func)
	t.Durable = t.directive.Flag(annotations.Durable) != nil
	if b.defaults != nil {
		for _, a := range b.defaults.Args {
			t.set(&a)
		}
	}
	b.renames(t)
	b.inlines(t)
	for _, a := range t.directive.Args {
		switch a.Name {
		case "name":
			t.Name = a.Value
		case "alias":
			t.Aliases = append(t.Aliases, a.Value)
		case "optional":
			b.withoutInline(t, &a)
			b.mark(t, &a, func(p *Param) { p.Optional = true })
		case "redact":
			b.redact(t, &a)
		case "limit":
			t.Limit = a.Count()
		case "limitby":
			b.withoutInline(t, &a)
			b.limitBy(t, &a)
		case "rate":
			t.Rate.N, t.Rate.Per = a.Rate()
		case "rateby":
			b.withoutInline(t, &a)
			b.rateBy(t, &a)
		case "orderby":
			b.withoutInline(t, &a)
			b.mark(t, &a, func(p *Param) { t.OrderBy = p.Key })
		case "key":
			b.withoutInline(t, &a)
		case "inline", "each":
			// read before, or with the results
		default:
			t.set(&a)
		}
	}
	if a := t.directive.Arg("each"); a != nil && t.Elem == nil {
		b.report(a.Pos, a.End, "each-without-iterator", "leave it out, or return iter.Seq2[T, error]",
			"each= is for a task that returns an iterator, and %s returns none", t.Func)
	}
	b.delays(t)
}

// renames gives parameters the keys that the directive has for them.
func (b *builder) renames(t *Task) {
	named := map[*Param]bool{}
	for _, a := range t.directive.All("key") {
		item, key := a.Rename()
		b.markItem(t, item, func(p *Param) {
			if named[p] {
				b.report(item.Pos, item.End, "repeated-key", "leave one out", "the parameter %s has two keys", p.Name)
			}
			p.Key, named[p] = key, true
		})
	}
	owner := map[string]*Param{}
	for _, p := range t.Params {
		if first := owner[p.Key]; first != nil {
			d := b.report(p.pos, p.end, "key-clash", "write another key= for one of them",
				"%s and %s have the same key on the wire, %q", first.Name, p.Name, p.Key)
			b.related(d, first.pos, "%s", first.Name)
		}
		owner[p.Key] = p
	}
}

// set sets a key that a package may give a default for.
func (t *Task) set(a *annotations.Arg) {
	switch a.Name {
	case "queue":
		t.Queue = a.Value
	case "retries":
		t.Retries = a.Count()
	case "delay":
		d := a.Duration()
		t.Delay = &d
	case "backoff":
		t.Backoff = a.Factor()
	case "maxdelay":
		t.MaxDelay = a.Duration()
	case "timeout":
		t.Timeout = a.Duration()
	case "priority":
		t.Priority = a.Count()
	case "unique":
		t.Unique, t.UniqueHold = a.Hold()
	case "keep":
		t.Keep = a.Duration()
	case "keepfailed":
		t.KeepFailed = a.Duration()
	case "tag":
		k, v := a.Tag()
		if i := slices.IndexFunc(t.Tags, func(tag Tag) bool { return tag.Key == k }); i >= 0 {
			t.Tags[i].Value = v
		} else {
			t.Tags = append(t.Tags, Tag{k, v})
		}
	}
}

// limitBy adds a limit for each value of a parameter.
func (b *builder) limitBy(t *Task, a *annotations.Arg) {
	item, most := a.LimitBy()
	b.markItem(t, item, func(p *Param) {
		if slices.ContainsFunc(t.LimitBy, func(l LimitBy) bool { return l.Param == p.Key }) {
			b.report(item.Pos, item.End, "repeated-limit", "leave one out", "%s has two limits by %s", t.Func, p.Name)
			return
		}
		t.LimitBy = append(t.LimitBy, LimitBy{p.Key, most})
	})
}

// rateBy adds a rate for each value of a parameter.
func (b *builder) rateBy(t *Task, a *annotations.Arg) {
	item, n, per := a.RateBy()
	b.markItem(t, item, func(p *Param) {
		if slices.ContainsFunc(t.RateBy, func(r RateBy) bool { return r.Param == p.Key }) {
			b.report(item.Pos, item.End, "repeated-limit", "leave one out", "%s has two rates by %s", t.Func, p.Name)
			return
		}
		t.RateBy = append(t.RateBy, RateBy{p.Key, Rate{n, per}})
	})
}

// mark finds the parameters that a key names.
func (b *builder) mark(t *Task, a *annotations.Arg, do func(*Param)) {
	for _, item := range a.Items() {
		b.markItem(t, item, do)
	}
}

// markItem finds the parameter of a name.
func (b *builder) markItem(t *Task, item annotations.Item, do func(*Param)) {
	i := slices.IndexFunc(t.Params, func(p *Param) bool { return p.Name == item.Name })
	if i >= 0 {
		do(t.Params[i])
		return
	}
	var names []string
	for _, p := range t.Params {
		names = append(names, p.Name)
	}
	fix := "it has no parameters that travel"
	if near := annotations.Nearest(item.Name, names); near != "" {
		fix = "did you mean " + near + "?"
	} else if len(names) > 0 {
		fix = "its parameters are " + strings.Join(names, ", ")
	}
	b.report(item.Pos, item.End, "unknown-parameter", fix, "%s has no parameter %s", t.Func, item.Name)
}

// delays checks the first delay against the longest.
func (b *builder) delays(t *Task) {
	limit := t.MaxDelay
	if limit == 0 {
		limit = annotations.DefaultMaxDelay
	}
	if t.Delay == nil || *t.Delay <= limit {
		return
	}
	a := t.directive.Arg("delay")
	if a == nil {
		a = t.directive.Arg("maxdelay")
	}
	if a == nil {
		a = b.defaults.Arg("delay")
	}
	b.report(a.Pos, a.End, "delay-over-max", "raise maxdelay=",
		"the first delay of %s, %v, is longer than its longest, %v", t.Func, *t.Delay, limit)
}
