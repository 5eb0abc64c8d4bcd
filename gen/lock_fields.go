package gen

import (
	"slices"
	"strings"

	"github.com/taskctx/taskctx/gen/diag"
	"github.com/taskctx/taskctx/gen/wiretype"
)

// newForm is the way out of a change after which enqueued tasks are not read.
const newForm = "give the new form a function and a name of its own, and keep this one until none is waiting\n" + acceptLock

// changed reports a parameter of another type than in the lock file. A note tells of
// fields that are new and may be left out: with these the types read each other.
func (p *Package) changed(l *lock, old locked, was lockedParam, param *Param) {
	asItWas := diag.Related{Pos: l.at(old.line), Message: "as it was"}
	report := func(code, fix, format string, args ...any) {
		d := p.report(param.pos, param.end, code, fix, format, args...)
		d.Related = append(d.Related, asItWas)
	}
	c := wiretype.Compare(was.sig, param.Sig)
	if c.Retyped {
		fix := newForm
		if field := wiretype.WouldFit(was.sig, param.Type); field != "" {
			fix = "if the field " + field + " is new, give its tag the option omitzero: " +
				"it is then compatible in both directions\n" + newForm
		}
		report("lock-retyped", fix, "tasks of %s that are enqueued have the parameter %s as %s, not %s",
			old.name, param.shown(), wiretype.Short(was.sig), wiretype.Short(param.Sig))
		return
	}
	for _, field := range c.Changed {
		report("lock-field-retyped", "give the field of the new type another key, or leave this one as it was\n"+acceptLock,
			"tasks of %s that are enqueued have %s of the parameter %s as another type, and would be parked: this is not compatible",
			old.name, field, param.shown())
	}
	for _, field := range c.Removed {
		fix := "keep the field, unused, until no task has it\n" + acceptLock
		if now := c.Renamed(field); now != "" {
			fix = "if it is called " + now + " now, keep its key in the tag: `json:\"" + lastKey(field) + ",omitzero\"`\n" + acceptLock
		}
		report("lock-field-removed", fix,
			"tasks of %s that are enqueued with %s of the parameter %s set would be parked, the others run", old.name, field, param.shown())
	}
	if len(c.Changed)+len(c.Removed) > 0 {
		return
	}
	always := wiretype.AlwaysWritten(param.Type)
	for _, field := range c.Added {
		say, fix := "compatible in both directions: older workers run the tasks that leave it out", "record it: taskgen -lock ./..."
		if slices.Contains(always, field) {
			say = "compatible forwards only: omitempty never leaves out a struct or an array, so older workers park every new task"
			fix = "write omitzero, or deploy all workers first\n" + fix
		}
		p.note(param.pos, param.end, "lock-field-added", fix,
			"%s is a new field of the parameter %s of %s, %s", field, param.shown(), old.name, say)
	}
}

// lastKey returns the key of the field at a path.
func lastKey(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
