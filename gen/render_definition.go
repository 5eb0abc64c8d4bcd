package gen

import (
	"time"

	"github.com/dave/jennifer/jen"

	"github.com/taskctx/taskctx/annotations"
)

// definition writes the variable that describes the task.
func (r *renderer) definition(t *Task) {
	n := r.tasks[t]
	var s []jen.Code
	add := func(key string, value jen.Code) { s = append(s, jen.Id(key).Op(":").Add(value)) }
	add("Name", jen.Id(n.name))
	if len(t.Aliases) > 0 {
		add("Aliases", jen.Index().String().ValuesFunc(func(g *jen.Group) {
			for _, a := range t.Aliases {
				g.Lit(a)
			}
		}))
	}
	add("Func", jen.Lit(t.Func))
	if t.Durable {
		add("Durable", jen.True())
	}
	if t.Queue != "" && t.Queue != "default" {
		add("Queue", jen.Lit(t.Queue))
	}
	add("Retries", jen.Lit(t.Retries))
	r.waits(t, add)
	if t.Priority != 0 {
		add("Priority", jen.Lit(t.Priority))
	}
	r.records(t, add)
	r.limits(t, add)
	if len(t.Tags) > 0 {
		var tags []jen.Code
		for _, tag := range t.Tags {
			tags = append(tags, jen.Lit(tag.Key).Op(":").Lit(tag.Value))
		}
		add("Tags", jen.Map(jen.String()).String().Add(lines(tags)))
	}
	spec := []jen.Code{jen.Custom(jen.Options{Separator: ", "}, s...)}
	if len(t.Params) > 0 {
		spec = append(spec, jen.Id("Params").Op(":").Index().Add(r.wire("Param")).Values(r.wireParams(t)...))
	}
	r.file.Var().Id(n.task).Op("=").Add(r.wire("Definition")).
		Values(jen.Id("Spec").Op(":").Add(r.wire("Spec")).Add(lines(spec)))
	r.file.Line()
}

// waits adds the keys that say how long to wait.
func (r *renderer) waits(t *Task, add func(string, jen.Code)) {
	if t.Delay != nil && *t.Delay != annotations.DefaultDelay {
		if *t.Delay == 0 {
			add("Delay", r.wire("NoDelay"))
		} else {
			add("Delay", r.duration(*t.Delay))
		}
	}
	if t.Backoff != 0 && t.Backoff != annotations.DefaultBackoff {
		add("Backoff", jen.Lit(t.Backoff))
	}
	if t.MaxDelay != 0 && t.MaxDelay != annotations.DefaultMaxDelay {
		add("MaxDelay", r.duration(t.MaxDelay))
	}
	if t.Timeout != 0 {
		add("Timeout", r.duration(t.Timeout))
	}
}

// records adds the keys about the task's key and its record.
func (r *renderer) records(t *Task, add func(string, jen.Code)) {
	if t.Unique != 0 {
		add("Unique", r.duration(t.Unique))
	}
	switch t.UniqueHold {
	case annotations.HoldActive:
		add("UniqueHold", r.qual(enginePackage, "HoldActive"))
	case annotations.HoldWaiting:
		add("UniqueHold", r.qual(enginePackage, "HoldWaiting"))
	}
	if t.Keep != 0 {
		add("Keep", r.duration(t.Keep))
	}
	if t.KeepFailed != 0 {
		add("KeepFailed", r.duration(t.KeepFailed))
	}
}

// limits adds the keys that bound how many run or begin at a time.
func (r *renderer) limits(t *Task, add func(string, jen.Code)) {
	if t.Limit != 0 {
		add("Limit", jen.Lit(t.Limit))
	}
	if len(t.LimitBy) > 0 {
		var list []jen.Code
		for _, by := range t.LimitBy {
			list = append(list, jen.Values(jen.Id("Param").Op(":").Lit(by.Param), jen.Id("Most").Op(":").Lit(by.Most)))
		}
		add("LimitBy", jen.Index().Add(r.wire("LimitBy")).Values(list...))
	}
	if t.Rate.N != 0 {
		add("Rate", r.wire("Rate").Values(r.rate(t.Rate)...))
	}
	if len(t.RateBy) > 0 {
		var list []jen.Code
		for _, by := range t.RateBy {
			list = append(list, jen.Values(append([]jen.Code{jen.Id("Param").Op(":").Lit(by.Param)}, r.rate(by.Rate)...)...))
		}
		add("RateBy", jen.Index().Add(r.wire("RateBy")).Values(list...))
	}
	if t.OrderBy != "" {
		add("OrderBy", jen.Lit(t.OrderBy))
	}
}

func (r *renderer) rate(rate Rate) []jen.Code {
	return []jen.Code{jen.Id("N").Op(":").Lit(rate.N), jen.Id("Per").Op(":").Add(r.duration(rate.Per))}
}

func (r *renderer) wireParams(t *Task) []jen.Code {
	var list []jen.Code
	for _, p := range t.Params {
		v := []jen.Code{
			jen.Id("Name").Op(":").Lit(p.Key),
			jen.Id("Sig").Op(":").Lit(p.Sig),
		}
		if p.Inline {
			v[0] = jen.Id("Name").Op(":").Lit(p.Name)
			v = append(v, jen.Id("Inline").Op(":").True())
		}
		if p.Optional {
			v = append(v, jen.Id("Optional").Op(":").True())
		}
		if p.Redact {
			v = append(v, jen.Id("Redact").Op(":").True())
		}
		if len(p.Secret) > 0 {
			v = append(v, jen.Id("Secret").Op(":").Index().String().ValuesFunc(func(g *jen.Group) {
				for _, key := range p.Secret {
					g.Lit(key)
				}
			}))
		}
		list = append(list, jen.Values(v...))
	}
	return list
}

// duration writes a duration in the largest unit that divides it.
func (r *renderer) duration(d time.Duration) *jen.Statement {
	units := []struct {
		d    time.Duration
		name string
	}{
		{time.Hour, "Hour"}, {time.Minute, "Minute"}, {time.Second, "Second"},
		{time.Millisecond, "Millisecond"}, {time.Microsecond, "Microsecond"}, {time.Nanosecond, "Nanosecond"},
	}
	for _, u := range units {
		if d%u.d == 0 {
			unit := r.qual(timePackage, u.name)
			if d == u.d {
				return unit
			}
			return jen.Lit(int(d / u.d)).Op("*").Add(unit)
		}
	}
	return nil
}
