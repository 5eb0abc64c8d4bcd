package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/link"
	"github.com/taskctx/taskctx/runtime/wire"
)

// byName returns the registered tasks by their names and aliases, and an error
// for each name that two of them claim.
func (a *App) byName() (map[string]*registration, []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	tasks := make(map[string]*registration, len(a.tasks))
	for _, r := range a.tasks {
		for _, name := range append([]string{r.def.Name}, r.def.Aliases...) {
			if other, ok := tasks[name]; ok {
				errs = append(errs, fmt.Errorf("two tasks are named %q: the functions %s and %s; set name= on one",
					name, other.funcBeside(r), r.funcBeside(other)))
				continue
			}
			tasks[name] = r
		}
	}
	return tasks, errs
}

// funcBeside returns the name of the task's function, with its package if the
// other's differs: generated arguments are a type of the package.
func (reg *registration) funcBeside(other *registration) string {
	if reg.args == nil || other.args == nil || reg.args.PkgPath() == other.args.PkgPath() {
		return reg.def.Func
	}
	return reg.args.PkgPath() + "." + reg.def.Func
}

// newWorker checks everything and freezes the registrations, or only that of
// the named task.
func (a *App) newWorker(ctx context.Context, only string) (*worker, error) {
	errs := a.cfg.validate()
	if a.engine == nil {
		errs = append(errs, errNoEngine)
	}
	tasks, clashes := a.byName()
	if only != "" {
		if tasks = a.named(only); len(tasks) == 0 {
			return nil, fmt.Errorf("%w: %s", errConfig, unknownTask(only))
		}
		clashes = nil
	}
	errs = append(errs, clashes...)
	errs = append(errs, a.missing(tasks)...)
	schedules, wrong := a.checkPeriodic()
	errs = append(errs, wrong...)
	frozen := make(map[string]*registration, len(tasks))
	var skipped []*registration
	for name, reg := range tasks {
		started, err := reg.start(a)
		if err != nil {
			continue // missing reported it already
		}
		frozen[name] = started
		if name != reg.def.Name || a.engine == nil {
			continue
		}
		if err := a.check(reg.def); err != nil {
			if a.cfg.SkipUnsupported && errors.Is(err, engine.ErrUnsupported) {
				skipped = append(skipped, reg)
				a.log(slog.LevelWarn, "a task is left out: the engine cannot honour what it asks for",
					slog.String("task", name), slog.String("error", guard.Text(err)))
				continue
			}
			errs = append(errs, fmt.Errorf("task %s: %w", name, err))
		}
	}
	errs = append(errs, a.checkQueues()...)
	counting, err := a.newHistory()
	if err != nil {
		errs = append(errs, err)
	}
	maps.DeleteFunc(frozen, func(name string, _ *registration) bool { return slices.Contains(skipped, tasks[name]) })
	if len(errs) > 0 {
		slices.SortFunc(errs, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
		return nil, fmt.Errorf("%w: %w", errConfig, errors.Join(errs...))
	}
	w := &worker{app: a, id: newWorkerID(), tasks: frozen, handler: call, periodic: schedules, history: counting}
	w.slots = newSlots(context.WithoutCancel(ctx), a.cfg.allWorkers())
	for i := len(a.cfg.Middleware) - 1; i >= 0; i-- {
		next := w.handler
		if err := guard.Isolated(func() error { w.handler = a.cfg.Middleware[i](next); return nil }); err != nil {
			return nil, fmt.Errorf("%w: Config.Middleware[%d]: %w", errConfig, i, err)
		}
		if w.handler == nil {
			return nil, fmt.Errorf("%w: Config.Middleware[%d] returned nil", errConfig, i)
		}
	}
	return w, nil
}

// checkQueues asks the engine about the queues that only the configuration
// names.
func (a *App) checkQueues() (errs []error) {
	if a.engine == nil {
		return nil
	}
	check := func(field string, queues []string) {
		for _, q := range queues {
			if err := a.engine.Check(&engine.Message{Name: "taskctx.queue", Queue: q}); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", field, err))
			}
		}
	}
	check("Config.Queues", a.cfg.Queues)
	check("Config.QueueWorkers", slices.Sorted(maps.Keys(a.cfg.QueueWorkers)))
	check("Config.QueueWeights", slices.Sorted(maps.Keys(a.cfg.QueueWeights)))
	return errs
}

// check asks the engine whether it can honour the task's options.
func (a *App) check(d *wire.Definition) error {
	if d.Durable && !a.journals {
		return errNoJournals
	}
	if limited(&d.Spec) && a.limits() == nil {
		return errNoLimits
	}
	return a.engine.Check(a.sample(d))
}

// sample returns a message with all options of the task.
func (a *App) sample(d *wire.Definition) *engine.Message {
	m := &engine.Message{Name: d.Name, Queue: d.Derive().Queue, Priority: priorityOf(d.Priority)}
	m.Keep, m.KeepFailed = a.cfg.Keep, a.cfg.KeepFailed
	if d.Unique > 0 || d.UniqueHold != engine.HoldTime {
		m.Key, m.KeyFor, m.KeyHold = d.Name, d.Unique, d.UniqueHold
	}
	if rated(&d.Spec) {
		m.Limits = []engine.Limit{{Rule: d.Name, Key: d.Name, Most: 1, Per: time.Second}}
	}
	if d.Keep > 0 {
		m.Keep = d.Keep
	}
	if d.KeepFailed > 0 {
		m.KeepFailed = d.KeepFailed
	}
	return m
}

// missing returns an error for each need, of the registered tasks and of the
// context types they use, that the app cannot fill.
func (a *App) missing(tasks map[string]*registration) []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := needCheck{app: a, seen: make(map[link.Need]bool)}
	for _, name := range slices.Sorted(maps.Keys(tasks)) {
		c.context(tasks[name].context, "task "+name)
		c.needs(tasks[name].needs, "task "+name)
	}
	return c.errs
}

type needCheck struct {
	app  *App
	seen map[link.Need]bool
	errs []error
}

func (c *needCheck) context(t link.Type, by string) {
	if t == contextType || t == handleType || c.seen[link.Need{Context: t}] {
		return
	}
	c.seen[link.Need{Context: t}] = true
	reg, ok := c.app.contexts[t]
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("context type %s of %s is not registered: call %s.RegisterTasks(app)",
			t, by, packageOf(t)))
		return
	}
	c.needs(reg.needs, t.String())
}

func (c *needCheck) needs(needs []link.Need, by string) {
	for _, n := range needs {
		switch {
		case n.Context != nil:
			c.context(n.Context, by)
		case n.Supply != nil:
			c.supply(n, by)
		}
	}
}

func (c *needCheck) supply(n link.Need, by string) {
	if c.seen[n] {
		return
	}
	c.seen[n] = true
	if _, ok := c.app.supplies[n.Supply]; ok {
		return
	}
	err := fmt.Errorf("%s needs a %s: call %s", by, n.Supply, link.SupplyCall(n.Supply))
	if want := n.Supply.(reflect.Type); want.Kind() == reflect.Interface {
		for _, t := range sortedTypes(c.app.supplies) {
			if t.(reflect.Type).Implements(want) {
				err = fmt.Errorf("%w (a %s was supplied as %[2]s, which would do: pass it to that call)", err, t)
				break
			}
		}
	}
	c.errs = append(c.errs, err)
}

func sortedTypes(m map[link.Type]any) []link.Type {
	return slices.SortedFunc(maps.Keys(m), func(a, b link.Type) int {
		return strings.Compare(a.String(), b.String())
	})
}

// packageOf returns the package name in the type's written form.
func packageOf(t link.Type) string {
	pkg, _, _ := strings.Cut(strings.TrimLeft(t.String(), "*"), ".")
	return pkg
}
