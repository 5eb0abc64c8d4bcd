package main

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
)

var desk = template.Must(template.New("desk").Parse(`{{template "head" "Publish"}}<h1>The site is {{.Record.State}}</h1>
<p>{{.Record.Reason}}
{{if .Ready}}<p><a href="/preview/">See it</a>, and then:
<form method="post" action="/approval"><input name="by" placeholder="your name" required>
<button name="ok" value="true">Publish it</button> <button name="ok" value="false">Refuse it</button></form>{{end}}
<h2>What the task remembers</h2>
<table>{{range .Journal}}<tr><td>{{.Kind}} {{.Name}}<td>{{if .Came}}{{.State}}{{end}}{{end}}</table>
`))

func init() { template.Must(desk.AddParseTree("head", pages.Lookup("head").Tree)) }

// server is where people look at a site, and approve it.
type server struct {
	app   *runtime.App
	id    uuid.UUID
	order Order
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.desk)
	mux.HandleFunc("POST /approval", s.approve)
	mux.Handle("GET /preview/", http.StripPrefix("/preview/", http.FileServer(http.Dir(s.order.Site+".staging"))))
	return http.NewCrossOriginProtection().Handler(mux) // another site must not approve in one's name
}

// desk shows how far the task is.
func (s *server) desk(w http.ResponseWriter, r *http.Request) {
	rec, err := s.app.Lookup(r.Context(), s.id)
	if err == nil {
		var js []inspect.JournalRecord
		if js, err = s.app.Journal(r.Context(), s.id); err == nil {
			ready := rec.Reason != "" && len(js) > 0 && js[len(js)-1].Name != "embargo" && remembers(js, "index")
			err = desk.Execute(w, map[string]any{"Record": rec, "Journal": js, "Ready": ready && !rec.State.Final()})
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func remembers(js []inspect.JournalRecord, name string) bool {
	for _, j := range js {
		if j.Name == name {
			return true
		}
	}
	return false
}

// approve sends what somebody says to the task. A second click changes nothing.
func (s *server) approve(w http.ResponseWriter, r *http.Request) {
	a := Approval{By: r.FormValue("by"), OK: r.FormValue("ok") == "true"}
	if a.By == "" {
		http.Error(w, "who are you?", http.StatusBadRequest)
		return
	}
	err := Approved.Send(r.Context(), s.app, s.id, a, runtime.WithSendKey("approval"))
	switch {
	case errors.Is(err, runtime.ErrState):
		http.Error(w, "it is over already", http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// listen serves the desk until the program ends, and returns its address.
func (s *server) listen(addr string) (string, func() error, error) {
	srv := &http.Server{Addr: addr, Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	l, err := listenOn(addr)
	if err != nil {
		return "", nil, err
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	return fmt.Sprintf("http://%s/", l.Addr()), func() error {
		err := srv.Close()
		if serr := <-done; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
		return err
	}, nil
}
