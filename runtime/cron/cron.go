// Package cron has schedules from cron expressions, for periodic tasks:
//
//	cron.Every(app, "*/5 * * * *", billing.CleanupCall())
//
// An expression has five fields, minute, hour, day of the month, month and day
// of the week, or six with the second first. It may also be @yearly, @monthly,
// @weekly, @daily, @hourly, or "@every 1h30m", in whole seconds, which is
// [runtime.Interval]. Times are in UTC, so that all processes agree, unless
// the expression begins with a time zone: "CRON_TZ=Europe/Vienna 0 6 * * 1-5".
//
// Where the clocks of the zone are put forward, the ticks of the skipped hour
// are left out. Where they are put back, the ticks of the repeated hour come
// twice, at different instants.
package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"

	robfig "github.com/robfig/cron/v3"

	"github.com/taskctx/taskctx/runtime"
)

// parser takes five fields or six, and the words with @.
var parser = robfig.NewParser(robfig.SecondOptional | robfig.Minute | robfig.Hour | robfig.Dom | robfig.Month |
	robfig.Dow | robfig.Descriptor)

// Every is [runtime.Every] with a cron expression. An invalid one is an error
// when the app starts.
func Every(app *runtime.App, expr string, c runtime.Caller, opts ...runtime.EveryOption) {
	s, err := Parse(expr)
	if err != nil {
		s = invalid{err}
	}
	runtime.Every(app, s, c, opts...)
}

// Parse returns the schedule of a cron expression.
func Parse(expr string) (runtime.Schedule, error) {
	parsed, err := parse(expr)
	if err != nil {
		return nil, fmt.Errorf("cron expression %q: %w", expr, err)
	}
	if _, ok := parsed.(robfig.ConstantDelaySchedule); ok {
		return interval(expr)
	}
	s := schedule{expr, parsed}
	if s.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("cron expression %q: it has no tick in the next five years", expr)
	}
	return s, nil
}

// interval returns the schedule of @every. The library rounds less than a
// second up to one, and counts from the time of the call.
func interval(expr string) (runtime.Schedule, error) {
	_, text, _ := strings.Cut(expr, "@every ")
	d, err := time.ParseDuration(text)
	if err == nil && (d < time.Second || d%time.Second != 0) {
		err = fmt.Errorf("%s is not a positive number of whole seconds", d)
	}
	if err != nil {
		return nil, fmt.Errorf("cron expression %q: %w", expr, err)
	}
	return runtime.Interval(d), nil
}

// parse is the library's parser, which panics on some expressions.
func parse(expr string) (s robfig.Schedule, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("not a cron expression")
		}
	}()
	return parser.Parse(expr)
}

// schedule is a parsed expression.
type schedule struct {
	expr   string
	parsed robfig.Schedule
}

// Next returns the first tick after t. A schedule without a zone of its own is
// read in that of t, which is UTC.
//
// The library misreads zones whose clocks move by half an hour. So Next asks
// it for one offset at a time.
func (s schedule) Next(t time.Time) time.Time {
	spec, ok := s.parsed.(*robfig.SpecSchedule)
	if !ok || spec.Location == time.Local {
		return s.parsed.Next(t.UTC())
	}
	for last := t.AddDate(searched, 0, 0); t.Before(last); {
		// The offset of the first instant that may be a tick.
		here := t.Truncate(time.Second).Add(time.Second).In(spec.Location)
		_, offset := here.Zone()
		_, end := here.ZoneBounds()
		fixed := *spec
		fixed.Location = time.FixedZone("", offset)
		tick := fixed.Next(t)
		switch {
		case end.IsZero(), !tick.IsZero() && tick.Before(end):
			return tick.UTC()
		}
		t = end.Add(-time.Nanosecond) // the end itself may be a tick
	}
	return time.Time{}
}

// searched is for how many years a tick is looked for.
const searched = 5

// String returns the expression.
func (s schedule) String() string { return s.expr }

// invalid stands for an invalid expression.
type invalid struct{ err error }

func (invalid) Next(time.Time) time.Time { return time.Time{} }

// Validate makes App.Start fail.
func (i invalid) Validate() error { return i.err }
