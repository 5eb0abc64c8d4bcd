// Package web is a dashboard and a JSON API for the tasks of any engine: what is
// broken, since when, why, and what to do about it.
//
//	mux.Handle("/tasks/", http.StripPrefix("/tasks", web.Handler(app, web.Config{
//		Allow: func(r *http.Request, a web.Action) error { ... },
//	})))
//
// The handler works under any prefix and behind a proxy: all its links are
// relative. Pages need no JavaScript to be read; with it they are live.
//
// # Who may do what
//
// Config.Allow decides about every request, reading included. Without it only
// programs of this machine may read and act: the request must come from a
// loopback address, name a loopback host, and have passed no proxy. Actions are
// POST requests, and those from pages of other origins are refused. Each action
// is one line in the log, with who asked.
//
// What redacted parameters hold is on no page, and nothing that a task carries
// reaches a page unescaped.
//
// # JSON
//
// What a page can do, a script can: the API is under api/, and described by
// api/openapi.json. Errors are {"error": "..."}.
package web
