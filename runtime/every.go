package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Schedule says when a periodic task runs. It must be the same function of
// time in all processes, since they agree on the ticks by it. The package
// runtime/cron has schedules from cron expressions.
//
// A schedule that is a [wire.Validator] is validated when the app starts.
type Schedule interface {
	// Next returns the first tick after t, or the zero time if there is none.
	Next(t time.Time) time.Time
}

// Interval is a schedule with a tick at every multiple of d, which must be
// positive, counted from the zero time: Interval(time.Hour) ticks at full hours
// UTC, in every process.
func Interval(d time.Duration) Schedule { return interval(d) }

type interval time.Duration

func (i interval) Next(t time.Time) time.Time {
	d := time.Duration(i)
	return t.Round(0).Truncate(d).Add(d)
}

func (i interval) Validate() error {
	if i <= 0 {
		return fmt.Errorf("the interval %s is not positive", time.Duration(i))
	}
	return nil
}

// Of [Every]: the tags of a task that it enqueued, the schedule's name and the tick,
// in the format time.RFC3339Nano and UTC; and its bound.
const (
	TagEvery = "every"
	TagTick  = "tick"
	// MaxCatchUp is how many ticks [CatchUpAll] makes up for at most.
	MaxCatchUp = 1000
)

// EveryOption changes how [Every] runs a schedule.
type EveryOption func(*periodic)

// EveryName names the schedule. The default is the name of the task, so that a
// second schedule of one task needs a name.
func EveryName(name string) EveryOption { return func(p *periodic) { p.name = name } }

// CatchUp makes up, when the app starts, for the last tick before, if no
// process did. On an engine that forgets, such as memory, that is at every
// start. The tick before a schedule's first deployment counts as missed, too:
// the task runs once at that start. [CatchUpSince] avoids that.
func CatchUp() EveryOption { return CatchUpSince(time.Time{}) }

// CatchUpSince is [CatchUp] for the ticks since a time, such as that of the
// schedule's first deployment: earlier ones were not missed. An engine cannot
// know that time, since it forgets ticks that have run.
func CatchUpSince(since time.Time) EveryOption {
	return func(p *periodic) { p.catchUp, p.since = true, since }
}

// CatchUpAll makes up for all ticks that were missed within the time before now, in
// their order: when the app starts, and when its process had slept or could not
// reach its engine. At most [MaxCatchUp] of them, the last. Ticks that ran are not run
// again, by a key for each that is held for that long; on an engine that forgets, such
// as memory, they are.
func CatchUpAll(within time.Duration) EveryOption {
	return func(p *periodic) { p.catchUp, p.all, p.skips = true, within, false }
}

// SkipMissed makes up for no tick: one that comes over a minute late, since the
// process slept or could not reach its engine, is left out.
func SkipMissed() EveryOption {
	return func(p *periodic) { p.catchUp, p.all, p.skips = false, 0, true }
}

// Every enqueues the call at every tick of the schedule while the app's worker
// runs. A tick is one task, however many processes and workers call Every:
// they agree by a key of the schedule's name and the tick, held past the next
// tick. The clocks of the processes may differ by up to 10 minutes.
//
// A tick that comes while no worker runs is missed, and is not made up for;
// see [CatchUp] and [CatchUpAll]. If a process sleeps, is stopped or cannot reach its
// engine, it makes up for the last of the missed ticks only, but see [SkipMissed]. A
// tick is enqueued even while the task of the previous one still waits or runs, and
// left out while the schedule is paused, see [App.PauseSchedule].
//
// Call it before the app starts, which checks it.
func Every(app *App, s Schedule, c Caller, opts ...EveryOption) {
	p := periodic{schedule: s}
	if c != nil {
		p.call = c.anyCall()
	}
	if p.call.def != nil {
		p.name = p.call.def.Name
	}
	for _, o := range opts {
		if o != nil {
			o(&p)
		}
	}
	defer app.warnLate("Every", p.name)
	app.mu.Lock()
	defer app.mu.Unlock()
	app.periodic = append(app.periodic, p)
}

// periodic is one call of Every.
type periodic struct {
	name     string
	schedule Schedule
	call     AnyCall
	catchUp  bool
	since    time.Time     // catchUp is for the ticks from then on
	all      time.Duration // catchUp is for all ticks of so long a time, zero for the last
	skips    bool          // ticks that come late are left out
}

const (
	// tickSlack is how long a key is held past the next tick, for processes
	// whose clock or engine is late.
	tickSlack = 10 * time.Minute
	// maxNap bounds a sleep, since the clock may be set meanwhile.
	maxNap = time.Minute
	// firstRetry and lastRetry bound the wait before a tick is enqueued again.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// late is how late a tick may come with SkipMissed.
	late = time.Minute
)

// checkPeriodic returns the app's schedules, and all errors in them.
func (a *App) checkPeriodic() ([]periodic, []error) {
	a.mu.Lock()
	all := slices.Clone(a.periodic)
	a.mu.Unlock()
	var errs []error
	seen := make(map[string]bool)
	for _, p := range all {
		if err := a.checkOne(p); err != nil {
			errs = append(errs, fmt.Errorf("schedule %q: %w", p.name, err))
		} else if seen[p.name] {
			errs = append(errs, fmt.Errorf("two schedules are named %q: name one with EveryName", p.name))
		}
		seen[p.name] = true
	}
	return all, errs
}

func (a *App) checkOne(p periodic) error {
	switch {
	case p.call.def == nil:
		return errors.New("it has no call")
	case p.call.more().err != nil:
		return p.call.more().err
	case p.schedule == nil:
		return errors.New("it is nil")
	case p.name == "" || !storable(p.name):
		return errors.New("that is not a name")
	}
	if v, ok := p.schedule.(wire.Validator); ok {
		if err := guard.Isolated(v.Validate); err != nil {
			return err
		}
	}
	now := time.Now()
	if _, err := p.next(now); err != nil || a.engine == nil {
		return err
	}
	m, err := a.Prepare(context.Background(), p.tickCall(now, now))
	if err != nil {
		return err
	}
	return a.engine.Check(m)
}

// next returns the first tick after t, zero if there is none.
func (p *periodic) next(t time.Time) (tick time.Time, err error) {
	if err := guard.Isolated(func() error { tick = p.schedule.Next(t); return nil }); err != nil {
		return time.Time{}, err
	}
	if !tick.IsZero() && !tick.After(t) {
		return time.Time{}, fmt.Errorf("the tick after %s is %s, which is not after it", t, tick)
	}
	return tick, nil
}

// last returns the last tick up to now, zero if there was none for five years.
func (p *periodic) last(now time.Time) (time.Time, error) {
	const farthest = 5 * 366 * 24 * time.Hour
	for back := time.Second; back < farthest; back *= 8 {
		tick, err := p.next(now.Add(-back))
		if err != nil {
			return time.Time{}, err
		}
		if tick.IsZero() || tick.After(now) {
			continue
		}
		tick, _, err = p.skip(tick, now)
		return tick, err
	}
	return time.Time{}, nil
}

// skip returns the last tick up to now, counted from the given one, and the
// next.
func (p *periodic) skip(tick, now time.Time) (last, next time.Time, err error) {
	for {
		next, err = p.next(tick)
		if err != nil || next.IsZero() || next.After(now) {
			return tick, next, err
		}
		tick = next
	}
}

// startTicking starts a goroutine for each schedule. They end with ctx.
func (a *App) startTicking(ctx context.Context, all []periodic) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() {
			if err := a.tick(ctx, p); err != nil && ctx.Err() == nil {
				a.log(slog.LevelError, "a schedule has failed and ends",
					slog.String("schedule", p.name), slog.String("error", guard.Text(err)))
			}
		})
	}
	return &wg
}

// tick enqueues the ticks of one schedule, until there are no more or ctx ends.
func (a *App) tick(ctx context.Context, p periodic) error {
	from := time.Now()
	if p.catchUp {
		last, err := p.last(from)
		if err != nil {
			return err
		}
		next, err := p.next(from)
		if err != nil {
			return err
		}
		switch {
		case p.all > 0:
			err = a.enqueueMissed(ctx, p, from.Add(-p.all), from)
		case !last.IsZero() && !last.Before(p.since) && !a.schedulePaused(ctx, p.name):
			a.enqueueTick(ctx, p, last, next)
		}
		if err != nil {
			return err
		}
	}
	for {
		tick, err := p.next(from)
		if err != nil || tick.IsZero() || !sleepUntil(ctx, tick) {
			return err
		}
		now := time.Now()
		last, next, err := p.skip(tick, now)
		switch {
		case err != nil:
			return err
		case p.all > 0 && last.After(tick):
			begin := now.Add(-p.all)
			if from.After(begin) {
				begin = from
			}
			err = a.enqueueMissed(ctx, p, begin, now)
		case p.skips && now.Sub(last) > late, a.schedulePaused(ctx, p.name):
		default:
			a.enqueueTick(ctx, p, last, next)
		}
		if err != nil {
			return err
		}
		from = last
	}
}

// enqueueMissed enqueues the last MaxCatchUp ticks after begin, up to now, unless
// the schedule is paused.
func (a *App) enqueueMissed(ctx context.Context, p periodic, begin, now time.Time) error {
	var ticks []time.Time // and the one after them
	for t := begin; ; {
		tick, err := p.next(t)
		if err != nil {
			return err
		}
		ticks = append(ticks, tick)
		if tick.IsZero() || tick.After(now) {
			break
		}
		if t = tick; len(ticks) > 2*MaxCatchUp {
			ticks = slices.Clone(ticks[len(ticks)-MaxCatchUp:])
		}
	}
	ticks = ticks[max(0, len(ticks)-1-MaxCatchUp):]
	if len(ticks) == 1 || a.schedulePaused(ctx, p.name) {
		return nil
	}
	for i, tick := range ticks[:len(ticks)-1] {
		a.enqueueTick(ctx, p, tick, ticks[i+1])
	}
	return nil
}

// sleepUntil waits for the clock to show t. It reports false if ctx ends first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	for {
		d := time.Until(t)
		if d <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(min(d, maxNap))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// enqueueTick enqueues the call for one tick. While that fails it tries again,
// until the next tick comes.
func (a *App) enqueueTick(ctx context.Context, p periodic, tick, next time.Time) {
	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		err := guard.Isolated(func() error { return a.insertTick(ctx, p, tick, next) })
		if err == nil || ctx.Err() != nil {
			return
		}
		again := time.Now().Add(wait)
		attrs := []slog.Attr{
			slog.String("schedule", p.name), slog.Time("tick", tick), slog.String("error", guard.Text(err)),
		}
		if !next.IsZero() && !again.Before(next) && (p.all == 0 || time.Since(tick) > p.all) {
			a.log(slog.LevelError, "a tick of a schedule could not be enqueued and is missed", attrs...)
			return
		}
		a.log(slog.LevelWarn, "a tick of a schedule could not be enqueued, and is tried again", attrs...)
		sleepUntil(ctx, again)
	}
}

func (a *App) insertTick(ctx context.Context, p periodic, tick, next time.Time) error {
	ins, err := a.producer.enqueue(ctx, []AnyCall{p.tickCall(tick, next)})
	if err != nil {
		return err
	}
	return ins[0].Err
}

// tickCall makes the call of one tick.
func (p *periodic) tickCall(tick, next time.Time) AnyCall {
	stamp := tick.UTC().Format(time.RFC3339Nano)
	held := tickSlack + max(time.Until(next), p.all, 0)
	return p.call.With(
		WithDue(tick), withTickKey("every:"+p.name+":"+stamp, held), WithTag(TagEvery, p.name), WithTag(TagTick, stamp))
}
