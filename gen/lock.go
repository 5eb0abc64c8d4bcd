package gen

import (
	"errors"
	"fmt"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/diag"
	"github.com/taskctx/taskctx/gen/load"
	"github.com/taskctx/taskctx/gen/wiretype"
)

// LockFile is the name of the file, in a module's root, that records the tasks
// as they may be enqueued.
const LockFile = "tasks.lock"

const lockHeader = `# The tasks that may be waiting in a queue. Written by "taskgen -lock"; keep it in the repository.`

// locked is a task as a line of the lock file has it:
//
//	mail.Send example.com/app/mail.Send to:string body:string?
//
// A question mark ends a parameter that an older task may lack.
type locked struct {
	name, fn string
	params   []lockedParam
	line     int
}

type lockedParam struct {
	name, sig string
	optional  bool
}

func (l locked) String() string {
	var b strings.Builder
	b.WriteString(l.name + " " + l.fn)
	for _, p := range l.params {
		b.WriteString(" " + p.name + ":" + p.sig)
		if p.optional {
			b.WriteString("?")
		}
	}
	return b.String()
}

// pkg returns the import path of the task's package.
func (l locked) pkg() string {
	slash := strings.LastIndexByte(l.fn, '/') + 1
	i := strings.LastIndex(l.fn[slash:], ".(") // of a method
	if i < 0 {
		i = strings.LastIndexByte(l.fn[slash:], '.')
	}
	return l.fn[:slash+i]
}

// lock is the lock file of a module.
type lock struct {
	loader     *load.Loader
	name, root string
	data       []byte // nil if there is none
	tasks      []locked
	bad        []diag.Diagnostic
	notes      []diag.Diagnostic // of check
}

func readLock(loader *load.Loader, root string) (*lock, error) {
	l := &lock{loader: loader, name: filepath.Join(root, LockFile), root: root}
	data, err := os.ReadFile(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	l.data = data
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		t, ok := parseLocked(line)
		if t.line = n; ok {
			l.tasks = append(l.tasks, t)
			continue
		}
		l.bad = append(l.bad, diag.Diagnostic{
			Pos: token.Position{Filename: l.name, Line: n, Column: 1}, Code: "lock-syntax",
			Message: "this is no line of a lock file",
			Fix:     "take back the change, or run taskgen -lock ./... to accept all tasks as they are now",
		})
	}
	return l, nil
}

func parseLocked(line string) (locked, bool) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return locked{}, false
	}
	t := locked{name: f[0], fn: f[1]}
	if !strings.Contains(t.fn[strings.LastIndexByte(t.fn, '/')+1:], ".") {
		return locked{}, false
	}
	for _, word := range f[2:] {
		name, sig, ok := strings.Cut(word, ":")
		if !ok || name != inlineKey && !annotations.IsKey(name) {
			return locked{}, false
		}
		sig, optional := strings.CutSuffix(sig, "?")
		t.params = append(t.params, lockedParam{name, sig, optional})
	}
	return t, true
}

// lockTask returns the line of a task.
func lockTask(p *Package, t *Task) locked {
	l := locked{name: t.Name, fn: funcPath(p.Path, t.Func)}
	for _, param := range t.Params {
		l.params = append(l.params, lockedParam{param.Key, param.Sig, param.Optional})
	}
	return l
}

// check reports the changes that would strand enqueued tasks, if a run for
// these directories should report them. Before it reports a task as gone it looks
// in the packages that are not generated yet.
func (l *lock) check(models []*Package, idx *index, asked []string) ([]diag.Diagnostic, error) {
	var diags []diag.Diagnostic
	gone := slices.ContainsFunc(l.tasks, func(old locked) bool { return len(idx.byName[old.name]) == 0 })
	if gone || len(l.bad) > 0 {
		if err := idx.complete(); err != nil {
			return nil, err
		}
	}
	owner := idx.owner(asked)
	if owner {
		diags = l.bad
	}
	byPath := map[string]*Package{}
	for _, p := range models {
		byPath[p.Path] = p
	}
	for _, old := range l.tasks {
		if all := idx.byName[old.name]; len(all) > 0 {
			diags = append(diags, l.served(old, all[0], byPath[all[0].pkg], idx, asked)...)
			continue
		}
		p := byPath[old.pkg()]
		switch {
		case p == nil:
			if owner && l.loader.Gone(old.pkg()) {
				diags = append(diags, l.missing(old))
			}
		case len(p.diags) > 0: // perhaps it is there, with a mistake
		case p.byFunc(old) != nil:
			diags = append(diags, p.renamed(l, old, p.byFunc(old)))
		default:
			diags = append(diags, l.missing(old))
		}
	}
	return diags, nil
}

// served reports faults of the function that now serves a locked name: it is
// another function, or its parameters are wrong. The function may have moved,
// from package to package too, if it says so, or if its whole package has.
func (l *lock) served(old locked, now served, p *Package, idx *index, asked []string) []diag.Diagnostic {
	moved := now.Explicit || now.fn() == old.fn
	if !moved && !idx.has(old.fn) {
		isNew := !slices.ContainsFunc(l.tasks, func(t locked) bool { return t.pkg() == now.pkg })
		moved = old.pkg() == now.pkg || isNew && l.loader.Gone(old.pkg())
	}
	if !moved {
		if !slices.Contains(asked, now.dir) {
			return nil
		}
		return []diag.Diagnostic{{
			Pos: now.Pos, End: now.End, Code: "lock-taken",
			Message: fmt.Sprintf("tasks of %s that are enqueued are called %s, and %s would run them", old.fn, old.name, now.fn()),
			Fix: "if it is another task, write name=" + longName(now) + "; if it takes their place, say so: name=" + old.name +
				"\n" + acceptLock,
			Related: []diag.Related{{Pos: l.at(old.line), Message: "as it was"}},
		}}
	}
	if p == nil || len(p.diags) > 0 {
		return nil // not of this run, or perhaps other with its mistakes mended
	}
	t := p.serving(old.name)
	if t == nil {
		return nil
	}
	before := len(p.notes)
	p.compare(l, old, t)
	l.notes = append(l.notes, p.notes[before:]...)
	diags := p.diags
	p.diags = nil
	return diags
}

// serving returns the task that serves a name, or nil.
func (p *Package) serving(name string) *Task {
	for _, t := range p.Tasks {
		if t.Name == name || slices.Contains(t.Aliases, name) {
			return t
		}
	}
	return nil
}

func (p *Package) byFunc(old locked) *Task {
	for _, t := range p.Tasks {
		if funcPath(p.Path, t.Func) == old.fn {
			return t
		}
	}
	return nil
}

func (l *lock) at(line int) token.Position {
	return token.Position{Filename: l.name, Line: line, Column: 1}
}

const acceptLock = "or, when none is waiting any more, accept the change: taskgen -lock ./..."

func (l *lock) missing(old locked) diag.Diagnostic {
	return diag.Diagnostic{
		Pos: l.at(old.line), Code: "lock-removed",
		Message: fmt.Sprintf("the task %s is gone, and those that are enqueued would wait for it in vain", old.name),
		Fix: "keep the function until none is waiting, or let the one that takes its place serve it: alias=" + old.name +
			"\n" + acceptLock,
	}
}

func (p *Package) renamed(l *lock, old locked, t *Task) diag.Diagnostic {
	id := t.directive.Func.Name
	return diag.Diagnostic{
		Pos: p.at(id.Pos()), End: p.at(id.End()), Code: "lock-renamed",
		Message: fmt.Sprintf("the task %s is now called %s", old.name, t.Name),
		Fix:     "serve the old name too: alias=" + old.name + "\n" + acceptLock,
		Related: []diag.Related{{Pos: l.at(old.line), Message: "as it was"}},
	}
}

// compare reports parameters of a task that cannot read its enqueued
// arguments.
func (p *Package) compare(l *lock, old locked, t *Task) {
	was := map[string]lockedParam{}
	for _, param := range old.params {
		was[param.name] = param
	}
	if _, inline := was[inlineKey]; inline != (t.inlined() != nil) && len(old.params) > 0 {
		id := t.directive.Func.Name
		how := map[bool]string{true: "all of their arguments as fields of one parameter (inline=)", false: "a key for each parameter"}
		d := p.report(id.Pos(), id.End(), "lock-inline", newForm, "tasks of %s that are enqueued have %s, not %s",
			old.name, how[inline], how[!inline])
		d.Related = append(d.Related, diag.Related{Pos: l.at(old.line), Message: "as it was"})
		return
	}
	for _, param := range t.Params {
		o, ok := was[param.Key]
		delete(was, param.Key)
		var d *diag.Diagnostic
		switch {
		case !ok && !param.Optional:
			d = p.report(param.pos, param.end, "lock-added", "write optional="+param.Name+" for it\n"+acceptLock,
				"tasks of %s that are enqueued lack the parameter %s", old.name, param.Key)
		case ok && !wiretype.SameOnWire(o.sig, param.Sig):
			p.changed(l, old, o, param)
			continue
		case ok && o.optional && !param.Optional:
			d = p.report(param.pos, param.end, "lock-required", "write optional="+param.Name+" again\n"+acceptLock,
				"tasks of %s that are enqueued may lack the parameter %s", old.name, param.Key)
		default:
			continue
		}
		d.Related = append(d.Related, diag.Related{Pos: l.at(old.line), Message: "as it was"})
	}
	id := t.directive.Func.Name
	for _, o := range old.params {
		if _, left := was[o.name]; left {
			d := p.report(id.Pos(), id.End(), "lock-parameter-removed", removedFix(t, old, o),
				"tasks of %s that are enqueued have a parameter %s, which %s no longer has", old.name, o.name, t.Func)
			d.Related = append(d.Related, diag.Related{Pos: l.at(old.line), Message: "as it was"})
		}
	}
}

// shown is the key of a parameter for people.
func (p *Param) shown() string {
	if p.Inline {
		return p.Name
	}
	return p.Key
}

// removedFix proposes what to do about a parameter that is gone: one of its type
// that was not there may be it.
func removedFix(t *Task, old locked, gone lockedParam) string {
	for _, p := range t.Params {
		isNew := !slices.ContainsFunc(old.params, func(o lockedParam) bool { return o.name == p.Key })
		if isNew && wiretype.SameOnWire(p.Sig, gone.sig) && annotations.IsKey(gone.name) {
			return "if it is called " + p.Name + " now, write key=" + p.Name + ":" + gone.name +
				"; else keep it, unused, until none is waiting\n" + acceptLock
		}
	}
	return "keep the parameter, unused, until none is waiting\n" + acceptLock
}

// lacks reports whether the lock file misses a task, a parameter or a field of the
// package.
func (l *lock) lacks(p *Package) bool {
	return slices.ContainsFunc(p.Tasks, func(t *Task) bool {
		i := slices.IndexFunc(l.tasks, func(old locked) bool { return old.name == t.Name })
		return i < 0 || slices.ContainsFunc(t.Params, func(param *Param) bool {
			return !slices.ContainsFunc(l.tasks[i].params, func(o lockedParam) bool {
				return o.name == param.Key && wiretype.SameText(o.sig, param.Sig)
			})
		})
	})
}

// update returns the lock file with the tasks of these packages as they are
// now, also by the old names that they still serve. Lines of other packages of
// the module stay.
func (l *lock) update(models []*Package) File {
	var lines []string
	mine, taken := map[string]bool{}, map[string]bool{}
	for _, p := range models {
		mine[p.Path] = true
		for _, t := range p.Tasks {
			taken[t.Name] = true
			line := lockTask(p, t)
			lines = append(lines, line.String())
			for _, old := range l.tasks {
				if line.name = old.name; slices.Contains(t.Aliases, old.name) {
					taken[old.name] = true
					lines = append(lines, line.String())
				}
			}
		}
	}
	for _, old := range l.tasks {
		if !mine[old.pkg()] && !taken[old.name] && !l.loader.Gone(old.pkg()) {
			lines = append(lines, old.String())
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	body := lockHeader + "\n" + strings.Join(lines, "\n")
	if len(lines) > 0 {
		body += "\n"
	}
	f := File{Name: l.name, Old: l.data, New: []byte(body), root: l.root, mark: "#"}
	f.keepLines()
	return f
}

// hasLock reports whether a main module has a lock file.
func hasLock(l *load.Loader) bool {
	return slices.ContainsFunc(l.MainDirs(), func(root string) bool {
		_, err := os.Stat(filepath.Join(root, LockFile))
		return err == nil
	})
}

// lockRun is the part of a run that concerns lock files.
type lockRun struct {
	names  map[string]*index
	asked  []string // the directories that it is for
	accept bool
}

// lockResult is what lock files have to say.
type lockResult struct {
	files        []File // as the tasks are
	lacking      []*Package
	diags, notes []diag.Diagnostic
}

// locks handles the lock files of the packages' modules. With accept it
// returns them as the tasks are. Otherwise it returns the mistakes, the lock
// files that lack something, and the packages that they lack.
func locks(l *load.Loader, models []*Package, run lockRun) (res lockResult, err error) {
	byRoot := map[string][]*Package{}
	for _, p := range models {
		byRoot[p.load.Module.Dir] = append(byRoot[p.load.Module.Dir], p)
	}
	for _, root := range slices.Sorted(slices.Values(l.MainDirs())) {
		lk, err := readLock(l, root)
		if err != nil {
			return lockResult{}, err
		}
		switch {
		case run.accept && len(byRoot[root]) > 0:
			res.files = append(res.files, lk.update(byRoot[root]))
		case !run.accept && lk.data != nil && run.names[root] != nil:
			found, err := lk.check(byRoot[root], run.names[root], run.asked)
			if err != nil {
				return lockResult{}, err
			}
			res.diags, res.notes = append(res.diags, found...), append(res.notes, lk.notes...)
			before := len(res.lacking)
			for _, p := range byRoot[root] {
				if lk.lacks(p) {
					res.lacking = append(res.lacking, p)
				}
			}
			if len(res.lacking) > before {
				res.files = append(res.files, lk.update(byRoot[root]))
			}
		}
	}
	return res, nil
}
