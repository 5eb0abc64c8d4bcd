package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates are the pages by name, each with the layout around it.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"clean":  func(s string) string { return clean(s, maxName) },
		"number": func(n int) string { return number(int64(n)) },
		"asset":  assetURL,
		"verb":   func(a Action) string { return verbs[a] },
		"copied": func(id, what string) copied { return copied{ID: id, What: what} },
		"in":     func(root string, v any, label ...string) scoped { return scoped{root, v, strings.Join(label, " ")} },
	}).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	pages := make(map[string]*template.Template)
	for _, name := range []string{
		"overview", "queues", "tasks", "task", "failed", "workers", "enqueue", "schedules", "limits",
		"history", "graph", "confirm", "bulk", "delete", "error", "docs",
	} {
		pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return pages
}

// scoped is a value for a part of a page, with the way to the first page.
type scoped struct {
	Root  string
	Value any
	Label string // for those who do not see where it is
}

// copied is the text of an element that a button copies: What it is, for people. Where
// the page does not have all of it, Whole is the URL of an object that does, under Key.
type copied struct{ ID, What, Whole, Key string }

// view is a page to show.
type view struct {
	Title    string
	Nav      string // where in the navigation it is
	Template string
	Live     string // relative URL of the events that it shows, empty for none
	Did      string // what was just done, for a message
	Status   int    // 200 if it is 0
	Data     any
}

// frame is the layout's data around a view.
type frame struct {
	*view
	Root, Site, User string
	Can              map[string]bool
	ReadOnly         bool   // no action is allowed
	Local            bool   // nobody but this machine may use it
	Done             string // the message
	Limits           bool   // the engine has them
	FailedCount      string
	Now              moment
}

// page adds a page for reading.
func (h *handler) page(pattern string, do func(q *request) (*view, error)) {
	h.mux.HandleFunc("GET "+pattern, func(_ http.ResponseWriter, r *http.Request) {
		q := requestOf(r)
		began := time.Now()
		v, err := q.run(View, func() (any, error) { return do(q) })
		if err != nil {
			q.fail(err)
			return
		}
		q.render(v.(*view))
		h.pulse.spent(time.Since(began))
	})
}

// form adds what a form of a page does. It answers with a view, or nil when it
// has answered already.
func (h *handler) form(pattern string, do func(q *request) (*view, error)) {
	h.mux.HandleFunc("POST "+pattern, func(_ http.ResponseWriter, r *http.Request) {
		q := requestOf(r)
		v, err := q.submit(do)
		switch {
		case err != nil:
			q.fail(err)
		case v != nil:
			q.render(v)
		}
	})
}

// submit parses a form and calls do. Who may not view pages may not send forms.
func (q *request) submit(do func(q *request) (*view, error)) (*view, error) {
	if err := q.h.allow(q.Request, View); err != nil {
		q.h.audit(q.Request, Action(path.Base(q.URL.Path)), err, "path", clean(q.URL.Path, maxLine))
		return nil, err
	}
	if err := q.parseForm(); err != nil {
		return nil, err
	}
	defer q.h.stale()
	return do(q)
}

// pages adds all pages.
func (h *handler) pages() {
	h.page("/{$}", (*request).overviewPage)
	h.page("/queues", (*request).queuesPage)
	h.page("/tasks", (*request).tasksPage)
	h.page("/tasks/{id}", (*request).taskPage)
	h.page("/tasks/{id}/delete", (*request).deletePage)
	h.page("/failed", (*request).failedPage)
	h.page("/workers", (*request).workersPage)
	h.page("/schedules", (*request).schedulesPage)
	h.page("/limits", (*request).limitsPage)
	h.page("/history", (*request).historyPage)
	h.page("/graph", (*request).graphPage)
	h.page("/enqueue", (*request).enqueuePage)
	h.page("/confirm", (*request).confirmPage)
	h.page("/find", (*request).findPage)
	h.page("/docs", (*request).docsPage)
	h.form("/enqueue", (*request).enqueueForm)
	h.form("/schedules", (*request).runScheduleForm)
	h.form("/limits", (*request).limitForm)
	h.form("/bulk", (*request).bulkForm)
	h.form("/pause", func(q *request) (*view, error) { return q.pauseForm(false) })
	h.form("/resume", func(q *request) (*view, error) { return q.pauseForm(true) })
	for _, a := range taskActions {
		h.form("/tasks/{id}/"+string(a), func(q *request) (*view, error) { return q.actForm(a) })
	}
	h.mux.HandleFunc("GET /events", h.events)
}

// messages are the notes on a page after an action.
var messages = map[string]string{
	"retry": "The task will run once more.", "run": "The task runs as soon as a worker takes it.",
	"cancel": "The task was cancelled; one that runs was told to stop.",
	"delete": "The task was deleted.", "enqueue": "The task was enqueued.",
}

func (q *request) render(v *view) {
	if v == nil { // it was answered
		return
	}
	f := &frame{
		view: v, Root: q.root, Site: q.h.cfg.Title, User: clean(q.h.cfg.User(q.Request), 80), Can: make(map[string]bool),
		Local: q.h.cfg.Allow == nil, Done: messages[v.Did], Now: at(q.now, q.now),
	}
	_, f.Limits = engine.As[engine.Limiter](q.h.app.Engine())
	f.ReadOnly = true
	for _, a := range Actions() {
		f.Can[string(a)] = q.offers(a)
		f.ReadOnly = f.ReadOnly && (a == View || !f.Can[string(a)])
	}
	if s := q.h.peek(); s != nil && f.Can[string(View)] {
		if n, estimated := s.total(engine.StateFailed); n > 0 {
			f.FailedCount = tally(n, estimated)
		}
	}
	var b bytes.Buffer
	if err := templates[v.Template].Execute(&b, f); err != nil {
		q.h.cfg.Logger.ErrorContext(q.Context(), "web: a page cannot be made", "page", v.Template, "error", err.Error())
		http.Error(q.w, "This page cannot be made; the log says why.", http.StatusInternalServerError)
		return
	}
	code := v.Status
	if code == 0 {
		code = http.StatusOK
	}
	q.answer(code, "text/html; charset=utf-8", b.Bytes())
}

// peek returns the last snapshot, however old, nil if there is none.
func (h *handler) peek() *snapshot {
	h.pulse.mu.Lock()
	defer h.pulse.mu.Unlock()
	return h.pulse.last
}

// errorPage is the page of an error.
type errorPage struct {
	Code        int
	Head, Text  string
	Down, NoWay bool
}

// failPage shows an error.
func (q *request) failPage(code int, err error) {
	p := &errorPage{Code: code, Text: cleanLines(err.Error())}
	v := &view{Title: http.StatusText(code), Template: "error", Status: code, Data: p}
	switch code {
	case http.StatusServiceUnavailable:
		p.Head, p.Down = "The store does not answer", true
		v.Title = p.Head
		if q.Method == http.MethodGet {
			q.w.Header().Set("Refresh", "5")
		}
	case http.StatusForbidden:
		p.Head, p.NoWay = "You may not do this", true
	case http.StatusNotFound:
		p.Head = "There is nothing here"
	case http.StatusConflict:
		p.Head = "That is not possible now"
	default:
		p.Head = "That did not work"
	}
	q.render(v)
}

// parseForm reads the body of a form.
func (q *request) parseForm() error {
	q.Body = http.MaxBytesReader(q.w, q.Body, maxBody)
	if err := q.ParseForm(); err != nil {
		if statusOf(err) == http.StatusRequestEntityTooLarge {
			return err
		}
		return badRequest("the form cannot be read: %s", clean(err.Error(), maxLine))
	}
	return nil
}

// actForm acts on one task, and shows it.
func (q *request) actForm(a Action) (*view, error) {
	in := new(struct{ taskIn })
	if err := q.decode(in); err != nil {
		return nil, err
	}
	if _, err := q.run(a, func() (any, error) { return q.act(a, in.ID, q.PostForm.Get("why")) }); err != nil {
		return nil, err
	}
	if a == Delete {
		redirect(q.w, q.root+"tasks")
		return nil, nil
	}
	redirect(q.w, q.root+"tasks/"+in.ID.String()+"?did="+string(a))
	return nil, nil
}

// deletePage asks whether to delete a task.
func (q *request) deletePage() (*view, error) {
	in := new(struct{ taskIn })
	if err := q.decode(in); err != nil {
		return nil, err
	}
	if err := q.h.allow(q.Request, Delete); err != nil {
		return nil, err
	}
	r, err := q.lookup(&in.taskIn)
	if err != nil {
		return nil, err
	}
	return &view{Title: "Delete this task?", Nav: "tasks", Template: "delete", Data: rowOf(r, q.now)}, nil
}

// findPage leads to the task with an id, or to the tasks with a name.
func (q *request) findPage() (*view, error) {
	in := new(struct {
		Text string `query:"q"`
	})
	if err := q.decode(in); err != nil {
		return nil, err
	}
	redirect(q.w, q.root+found(in.Text))
	return nil, nil
}
