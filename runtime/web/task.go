package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// taskIn names a task.
type taskIn struct {
	ID uuid.UUID `path:"id" json:"-" doc:"id of the task"`
}

// lookup reads a task.
func (q *request) lookup(in *taskIn) (*runtime.Record, error) {
	ctx, cancel := q.store()
	defer cancel()
	r, err := q.h.app.Lookup(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return sound(r), nil
}

// argsOut are the arguments of a task as they were before the app's codec.
type argsOut struct {
	Args json.RawMessage `json:"args"`
}

// decodedArgs decodes the arguments of a task, and logs who read them.
func (q *request) decodedArgs(in *taskIn) (out argsOut, err error) {
	defer func() { q.h.audit(q.Request, Decode, err, "task", in.ID.String()) }()
	if !q.h.app.HasCodec() {
		return out, &statusError{http.StatusUnprocessableEntity, "this process has no codec: arguments are shown as they are stored"}
	}
	ctx, cancel := q.store()
	defer cancel()
	args, err := q.h.app.DecodedArgs(ctx, in.ID)
	if errors.Is(err, runtime.ErrNotFound) || err == nil {
		return argsOut{inspect.JSON(args)}, err
	}
	if ctx.Err() == nil { // it is not the store's
		err = &statusError{http.StatusUnprocessableEntity, cleanLines(err.Error())}
	}
	return out, err
}

// metadataOut is what the store has with a task beside its arguments and its result.
type metadataOut struct {
	Metadata json.RawMessage `json:"metadata"`
}

// metadata reads what the store has with a task.
func (q *request) metadata(in *taskIn) (metadataOut, error) {
	ctx, cancel := q.store()
	defer cancel()
	m, err := q.h.app.StoredMetadata(ctx, in.ID)
	return metadataOut{m}, err
}

// cancelIn is a task to cancel, and why.
type cancelIn struct {
	taskIn
	Reason string `json:"reason,omitempty" doc:"why; by default the task's name and .cancel"`
}

// done is the answer of an action on one task.
type done struct {
	ID uuid.UUID `json:"id"`
	// State is the task's state after the action, empty if it was deleted. A
	// running task that was cancelled is running until it has stopped.
	State engine.State `json:"state,omitempty"`
}

// act performs an action on one task, and logs who did.
func (q *request) act(a Action, id uuid.UUID, reason string) (done, error) {
	ctx, cancel := q.store()
	defer cancel()
	err := bulk.Action(a).Do(ctx, q.h.app, id, reason)
	q.h.audit(q.Request, a, err, "task", id.String())
	if err != nil {
		return done{}, err
	}
	d := done{ID: id}
	if a == Delete {
		return d, nil
	}
	r, err := q.h.app.Lookup(ctx, id)
	if err == nil {
		d.State = r.State
	}
	return d, nil // it is done, whatever became of the task since
}

// taskPage is the page of one task.
type taskPage struct {
	*runtime.Record
	Row       row
	Facts     []fact
	Story     []event
	Hidden    int // events that are not shown
	AllEvents string
	Args      data
	Encoded   bool // Args are as the app's codec has them, and can be decoded
	Decoded   bool // they were decoded
	Result    data
	Metadata  data
	Why       string
	Progress  *progress
	Can       map[string]bool // what its state allows
	Tags      []tag
	Journal   *journalPage
	Tree      []branch
	TreeMore  bool
	TreeLink  string
	Enqueue   string // relative URL of the form with these arguments, empty without one
}

// fact is a line in the list of a task's properties.
type fact struct {
	Label, Text, Link string
	When              moment
	Mono              bool
	Copy              bool // it can be copied
}

type tag struct{ Key, Value, Link string }

// progress is how far a task says that it is.
type progress struct {
	Done, Total int64
	Percent     string // empty if it is not known
	Note        string
	When        moment
}

// data is JSON as a page shows it.
type data struct {
	Tokens []token
	Cut    string // how much is missing
	copied
}

// Copied is how the data is copied, on a page with this way to the first.
func (d *data) Copied(root string) copied {
	c := d.copied
	if c.Whole = root + c.Whole; d.Cut == "" {
		c.Whole, c.Key = "", ""
	}
	return c
}

// storyLen is how many events a page shows when it is not asked for all.
const storyLen = 150

// taskPage shows one task.
func (q *request) taskPage() (*view, error) {
	in := new(struct {
		taskIn
		Events string `query:"events"`
		Args   string `query:"args"`
		Did    string `query:"did"`
	})
	if err := q.decode(in); err != nil {
		return nil, err
	}
	r, err := q.lookup(&in.taskIn)
	if err != nil {
		return nil, err
	}
	p := &taskPage{
		Record: r, Row: rowOf(r, q.now), Facts: q.facts(r), Args: showJSON(r.Args), Result: showJSON(r.Result),
		Why: cleanLines(r.Reason), Can: possible(r.State),
	}
	switch {
	case !q.h.app.HasCodec():
	case in.Args == "decoded":
		out, err := q.run(Decode, func() (any, error) { return q.decodedArgs(&in.taskIn) })
		if err != nil {
			return nil, err
		}
		p.Args, p.Decoded = showJSON(out.(argsOut).Args), true
	default:
		p.Encoded = true
	}
	p.Story = story(r, q.now)
	if n := len(p.Story) - storyLen; n > 0 && in.Events != "all" {
		p.Hidden, p.AllEvents = n, "?events=all"
		p.Story = p.Story[n:]
	}
	if q.knows(r.Name) {
		p.Enqueue = "enqueue?" + urlQuery("name", r.Name, "like", r.ID.String())
		if p.Decoded {
			p.Enqueue += "&args=decoded"
		}
	}
	q.addCopied(p)
	p.Tags = tagsOf(r.Tags)
	if p.Journal, err = q.journalOf(r); err != nil {
		return nil, err
	}
	if p.Tree, p.TreeMore, err = q.tree(r); err != nil {
		return nil, err
	}
	p.TreeLink = filterLink(filter{Root: r.RootID.String()})
	p.Progress = progressOf(r.Progress, q.now)
	return &view{
		Title: clean(r.Name, 80), Nav: "tasks", Template: "task", Live: taskEvents(r), Data: p, Did: in.Did,
	}, nil
}

// tagsOf are the first tags of a task, with links to the tasks that have them, too.
func tagsOf(tags inspect.Tags) []tag {
	var all []tag
	for k, v := range tags.All() {
		t := tag{Key: clean(k, maxName), Value: clean(v, maxName)}
		if len(k)+len(v) <= maxName {
			t.Link = "tasks?" + urlQuery("tag", k+":"+v)
		}
		if all = append(all, t); len(all) == 50 {
			break
		}
	}
	return all
}

// progressOf is what a task has said of its progress, nil if it has not.
func progressOf(g *inspect.Progress, now time.Time) *progress {
	if g == nil {
		return nil
	}
	p := &progress{Done: g.Done, Total: g.Total, Note: clean(g.Note, maxReason), When: at(g.At, now)}
	if g.Total > 0 && g.Done >= 0 {
		percent := min(100*float64(g.Done)/float64(g.Total), 100)
		p.Percent = strconv.FormatFloat(percent, 'f', 0, 64)
	}
	return p
}

// addCopied adds what the store has with the task, and how data is copied.
func (q *request) addCopied(p *taskPage) {
	if m, err := q.metadata(&taskIn{ID: p.ID}); err == nil { // the task may be deleted meanwhile
		p.Metadata = showJSON(m.Metadata)
	}
	api := "api/tasks/" + p.ID.String()
	p.Args.copied = copied{"args", "arguments", api, "args"}
	if p.Decoded {
		p.Args.Whole += "/args"
	}
	p.Result.copied = copied{"result", "result", api, "result"}
	p.Metadata.copied = copied{"metadata", "metadata", api + "/metadata", "metadata"}
}

// possible returns the actions that are possible for a task in a state.
func possible(s engine.State) map[string]bool {
	can := make(map[string]bool)
	for _, a := range taskActions {
		can[string(a)] = bulk.Action(a).Possible(s)
	}
	return can
}

func (q *request) facts(r *runtime.Record) []fact {
	var fs []fact
	add := func(f fact) {
		if f.Text != "" || !f.When.Zero() {
			fs = append(fs, f)
		}
	}
	add(fact{Label: "Id", Text: r.ID.String(), Mono: true, Copy: true})
	add(fact{Label: "Queue", Text: clean(r.Queue, maxName), Link: filterLink(filter{Queue: r.Queue})})
	add(fact{Label: "Attempt", Text: attemptOf(r)})
	if r.Priority != 0 {
		p := strconv.Itoa(r.Priority)
		add(fact{Label: "Priority", Text: p, Link: filterLink(filter{Priority: p})})
	}
	if r.Timeout > 0 {
		add(fact{Label: "Timeout", Text: span(r.Timeout) + " an attempt"})
	}
	add(fact{Label: "Deadline", When: at(r.Deadline, q.now)})
	add(fact{Label: "Enqueued", When: at(r.EnqueuedAt, q.now)})
	if !r.State.Final() && r.State != engine.StateRunning {
		add(fact{Label: "Due", When: at(r.Due, q.now)})
	}
	add(fact{Label: "Last started", When: at(r.StartedAt, q.now)})
	add(fact{Label: "Ended", When: at(r.EndedAt, q.now)})
	add(fact{Label: "Took", Text: took(r, q.now)})
	if waited := r.StartedAt.Sub(latest(r.EnqueuedAt, r.Due)); !r.StartedAt.IsZero() && r.Attempt == 0 && waited >= 0 && r.State.Final() {
		add(fact{Label: "Waited", Text: span(waited)})
	}
	add(fact{Label: "Worker", Text: clean(r.Worker, maxName), Link: filterLink(filter{Worker: r.Worker}), Mono: true})
	if r.ParentID != uuid.Nil {
		add(fact{Label: "Enqueued by", Text: r.ParentID.String(), Link: "tasks/" + r.ParentID.String(), Mono: true})
	}
	if r.RootID != uuid.Nil && r.RootID != r.ID && r.RootID != r.ParentID {
		add(fact{Label: "Root", Text: r.RootID.String(), Link: "tasks/" + r.RootID.String(), Mono: true})
	}
	return fs
}

// maxLink is the length of a URL that every proxy passes on, in bytes.
const maxLink = 1000

// filterLink is the link of a filter, empty if that is too long for a URL.
func filterLink(f filter) string {
	if len(f.Name)+len(f.Queue)+len(f.Tag)+len(f.Reason)+len(f.Worker) > maxLink {
		return ""
	}
	if link := f.link(); len(link) <= maxLink {
		return link
	}
	return ""
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// showJSON is how a page shows JSON: indented, in tokens, at most maxData bytes.
func showJSON(raw json.RawMessage) data {
	if len(raw) == 0 {
		return data{}
	}
	tokens, shown := tokenize(raw, maxData)
	d := data{Tokens: tokens}
	if shown < len(raw) {
		d.Cut = number(int64(len(raw)-shown)) + " more bytes are not shown"
	}
	return d
}

// knows reports whether this process can enqueue tasks of a name, which is not too long
// for a URL.
func (q *request) knows(name string) bool {
	return len(name) <= maxName && slices.ContainsFunc(q.h.app.Tasks(), func(t inspect.TaskInfo) bool {
		return t.Name == name || slices.Contains(t.Aliases, name)
	})
}
