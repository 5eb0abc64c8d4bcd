package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/life"
)

// errInStep is the error of calls that a step cannot make.
var errInStep = errors.New("not in a step: a step is done or not done, and has no steps, children or waits of its own")

// journalTimeout bounds one read or write of the journal.
const journalTimeout = 30 * time.Second

// durable is one run's knowledge of its task's journal.
type durable struct {
	r *run
	j engine.Journal

	mu      sync.Mutex // guards all below; held while the journal is written
	names   map[string]*named
	spare   []named                           // owners of names to come
	signals map[string][]*engine.JournalEntry // by name, in the order in which they came
	awaited map[string]*awaited               // the calls of Signal.Await, by name
	pending []spawn                           // children that are not enqueued yet
	// unflushed is set while pending could not be enqueued: only calls that return
	// errors try again.
	unflushed bool
	children, others,
	bytes int
	came, failed int64
	base         int    // the attempt that last recorded something
	main         branch // of the task function
	suspended    bool
	verdict      verdict
	headers      map[string]string // of the propagators, where the run was suspended
	wait         engine.Wait
	asked        int32     // how often children were awaited
	waits        []string  // the wait of each branch
	until        time.Time // when the wait ends at the latest, zero if never
}

// named is the owner of one name in a journal, now or later.
type named struct {
	e    *engine.JournalEntry // nil while there is none
	used bool                 // this run has used the name
	wait int32                // the last wait that counted it
}

// lasting is the part of a run that only durable tasks and their steps need.
type lasting struct {
	outer   *run                 // of the run of a step: that of its task
	step    string               // of the run of a step: its name
	entry   *engine.JournalEntry // of the run of a step whose transaction has recorded it
	reading sync.Mutex           // held while the journal is read
	journal atomic.Value         // the *durable, once it was read

	lookOnce sync.Once
	last     *suspension // of the last run that was suspended, once looked for

	refusing sync.Mutex // guards refused, and their heard
	refused  []*future  // children that could not be spawned
}

// lasts returns the run's lasting part.
func (r *run) lasts() *lasting {
	x := r.more()
	if x.lasts() == nil {
		atomic.CompareAndSwapPointer(&x.lasting, nil, unsafe.Pointer(new(lasting)))
	}
	return x.lasts()
}

// lasts returns the lasting part, nil while there is none.
func (x *extras) lasts() *lasting { return (*lasting)(atomic.LoadPointer(&x.lasting)) }

// branch is the task function, or a goroutine that it started with Go: each waits
// for itself.
type branch struct{ suspended bool } // guarded by durable.mu

// branchKey is the key of a context's *branch.
type branchKey struct{}

// Branched gives a goroutine of the task a branch of its own.
func (r *run) Branched(ctx context.Context) context.Context {
	if !r.reg.def.Durable {
		return ctx
	}
	return context.WithValue(ctx, branchKey{}, new(branch))
}

func (d *durable) branch(ctx context.Context) *branch {
	if b, ok := ctx.Value(branchKey{}).(*branch); ok {
		return b
	}
	return &d.main
}

// durableOf returns the journal of the durable task of ctx, for a call of the
// function what.
func durableOf(ctx context.Context, what string) (*durable, error) {
	r := current(ctx)
	switch {
	case r == nil:
		return nil, fmt.Errorf("%s outside of a durable task: %w", what, ErrNoTask)
	case r.life.Ended.Load():
		return nil, ErrTaskDone
	case !r.reg.def.Durable:
		return nil, Permanent(fmt.Errorf("%s needs a durable task: write //task:context durable above %s, and generate again",
			what, r.reg.def.Func))
	case r.outer() != nil:
		return nil, Permanent(fmt.Errorf("%s: %w", what, errInStep))
	}
	d, err := r.durable(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	suspended := d.branch(ctx).suspended
	d.mu.Unlock()
	if suspended {
		return nil, ErrSuspended
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return d, nil
}

// durable returns the run's journal, read when it is first needed.
func (r *run) durable(ctx context.Context) (*durable, error) {
	l := r.lasts()
	l.reading.Lock()
	defer l.reading.Unlock()
	if d, _ := l.journal.Load().(*durable); d != nil {
		return d, nil
	}
	j, ok := r.d.Memo.(engine.Journal)
	if !ok {
		return nil, Permanent(errNoJournals)
	}
	bounded := life.Bound(ctx, journalTimeout)
	defer bounded.End()
	es, err := j.ReadJournal(bounded)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	d := &durable{r: r, j: j, names: make(map[string]*named, len(es))}
	all := make([]named, len(es))
	for i := range es {
		d.add(&es[i], &all[i])
	}
	l.journal.Store(d)
	return d, nil
}

// errNoJournals is the error of durable tasks on an engine that cannot have them.
var errNoJournals = fmt.Errorf("durable tasks are %w", ErrUnsupported)

// inEntry says in which step or child an error came, and keeps a [Permanent] one
// outermost, whose text is the task's reason.
func inEntry(what, name string, err error) error {
	err = fmt.Errorf("%s %s: %w", what, name, err)
	if _, permanent := guard.As[*PermanentError](err); permanent {
		return Permanent(err)
	}
	return err
}

// remembered returns the run's journal if it was read.
func (r *run) remembered() *durable {
	if x := r.extras(); x != nil {
		if l := x.lasts(); l != nil {
			d, _ := l.journal.Load().(*durable)
			return d
		}
	}
	return nil
}

// add notes an entry of the journal as the owner of its name. The caller holds
// d.mu, or is the only one.
func (d *durable) add(e *engine.JournalEntry, n *named) {
	d.bytes += len(e.Name) + len(e.Value) + len(e.Result) + len(e.Reason)
	d.came = max(d.came, e.Came)
	if e.Failed() {
		d.failed++
	}
	if e.Kind == engine.EntrySignal {
		if d.signals == nil {
			d.signals = make(map[string][]*engine.JournalEntry)
		}
		d.signals[e.Name] = append(d.signals[e.Name], e)
		d.others++
		return
	}
	n.e = e
	d.names[e.Name] = n
	d.base = max(d.base, e.Attempt)
	if e.Kind == engine.EntryChild {
		d.children++
	} else {
		d.others++
	}
}

// checkName refuses texts that cannot be the name of an entry. Names of our
// own begin with a mark.
func checkName(name string) error {
	switch {
	case name == "" || !storable(name) || strings.HasPrefix(name, ownMark):
		return fmt.Errorf("%q is not a name", name)
	case len(name) > engine.MaxEntryName:
		return fmt.Errorf("name %.20q... is over %d bytes", name, engine.MaxEntryName)
	}
	return nil
}

// ownMark begins the names of entries that no function has named.
const ownMark = "?"

// take marks a name as used in this run, and returns its owner. The caller
// holds d.mu.
func (d *durable) take(name string, kind engine.EntryKind) (*named, error) {
	if err := checkName(name); err != nil {
		return nil, Permanent(err)
	}
	n := d.names[name]
	if n == nil {
		n = d.newNamed()
		d.names[name] = n
	}
	if n.used {
		return nil, Permanent(fmt.Errorf("the name %q is used twice in one run: give each step, child and rest its own", name))
	}
	n.used = true
	return n, n.check(name, kind)
}

// newNamed returns an owner for a new name. A task with many gets some at a time.
func (d *durable) newNamed() *named {
	if len(d.spare) == 0 {
		d.spare = make([]named, min(len(d.names)+1, 64))
	}
	n := &d.spare[0]
	d.spare = d.spare[1:]
	return n
}

// entry is the entry that has the name, nil if there is none.
func (n *named) entry() *engine.JournalEntry {
	if n == nil {
		return nil
	}
	return n.e
}

// check parks the task if the name is of an entry of another kind.
func (n *named) check(name string, kind engine.EntryKind) error {
	if n.e != nil && n.e.Kind != kind {
		return park("%q was recorded as a %s, here it is a %s: the way out is another name", name, n.e.Kind, kind)
	}
	return nil
}

// entryOf returns the entry of a name of our own, nil if there is none.
func (d *durable) entryOf(name string) *engine.JournalEntry {
	if n := d.names[name]; n != nil {
		return n.e
	}
	return nil
}

// record writes entries, all of one kind. The caller holds d.mu.
func (d *durable) record(ctx context.Context, es []engine.NewEntry) ([]engine.JournalEntry, error) {
	bounded := life.Bound(ctx, journalTimeout)
	defer bounded.End()
	out, err := d.write(bounded, es, d.j.Record)
	if err == nil {
		d.addAll(out)
	}
	return out, err
}

// write is record by any way to do that, and leaves it to the caller to note what was
// written. The caller bounds ctx.
func (d *durable) write(
	ctx context.Context, es []engine.NewEntry, by func(context.Context, []engine.NewEntry) ([]engine.JournalEntry, error),
) ([]engine.JournalEntry, error) {
	size := 0
	for i := range es {
		size += len(es[i].Name) + len(es[i].Value)
	}
	n, limit, what := d.others, engine.MaxJournalEntries, "entries"
	if es[0].Kind == engine.EntryChild {
		n, limit, what = d.children, engine.MaxJournalChildren, "children"
	}
	if n+len(es) > limit || d.bytes+size > engine.MaxJournalBytes {
		return nil, Permanent(fmt.Errorf("%w (it has %d %s of %d, and %d bytes of %d)",
			engine.ErrJournalFull, n, what, limit, d.bytes, engine.MaxJournalBytes))
	}
	out, err := by(ctx, es)
	if err == nil && len(out) != len(es) {
		err = fmt.Errorf("the engine answered for %d of %d entries", len(out), len(es))
	}
	if err != nil {
		return nil, fmt.Errorf("record in the journal: %w", err)
	}
	return out, nil
}

// addAll notes entries that were written. The caller holds d.mu.
func (d *durable) addAll(out []engine.JournalEntry) {
	for i := range out {
		n := d.names[out[i].Name]
		if n == nil { // of our own
			n = new(named)
		}
		d.add(&out[i], n)
	}
}

// failures is how many runs of the task have failed since it last recorded
// something: those that its retries are for.
func (r *run) failures() int {
	if !r.reg.def.Durable || r.d.Attempt == 0 {
		return r.d.Attempt
	}
	d, err := r.durable(context.WithoutCancel(r.life.Parent))
	if err != nil { // not known: another run may find out
		return min(r.d.Attempt, max(r.retries()-1, 0))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(r.d.Attempt-d.base, 0)
}

// journalSeen is how much the journal of a durable task has, 0 if that is not
// known.
func (r *run) journalSeen() int64 {
	if !r.reg.def.Durable {
		return 0
	}
	d, err := r.durable(context.WithoutCancel(r.life.Parent))
	if err != nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.came + int64(d.children+d.others)
}
