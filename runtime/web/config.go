package web

import (
	"log/slog"
	"net"
	"net/http"
)

// Config sets up a [Handler]. Its zero value lets programs of this machine read
// and act, and nobody else.
type Config struct {
	// Allow decides whether a request may do what it asks for: nil allows, an
	// error refuses, and its text is shown to whoever asked. Pages ask it for
	// each action that they offer, too. It may be called concurrently. Without it
	// only this machine is allowed; see the package's documentation.
	Allow func(r *http.Request, a Action) error
	// User names who asks, for the log and the pages. Defaults to the user of
	// HTTP basic authentication, and else to the remote address.
	User func(r *http.Request) string
	// ReadOnly refuses everything but [View], whatever Allow says.
	ReadOnly bool
	// TrustedOrigins are those, such as "https://ops.example.com", from whose
	// pages actions are accepted, beside the handler's own. Handler panics if one
	// is none.
	TrustedOrigins []string
	// Title names what is looked at, such as "billing, production". Defaults to
	// "Tasks".
	Title string
	// Logger gets a line for each action, and what goes wrong. Defaults to
	// slog.Default() at the time of Handler.
	Logger *slog.Logger
}

// Action is what a request asks for.
type Action string

// The actions.
const (
	// View reads: all pages, and all of the API that changes nothing.
	View Action = "view"
	// Enqueue enqueues a task by its name.
	Enqueue Action = "enqueue"
	// Retry runs tasks again that failed or were cancelled.
	Retry Action = "retry"
	// Run runs tasks now that are scheduled or to be retried.
	Run Action = "run"
	// Cancel cancels tasks.
	Cancel Action = "cancel"
	// Delete forgets tasks.
	Delete Action = "delete"
	// Pause pauses queues and names of tasks, and ends pauses.
	Pause Action = "pause"
	// Limit sets limits.
	Limit Action = "limit"
	// Decode reads the arguments of a task as they were before the app's codec
	// encoded them; what is redacted stays so.
	Decode Action = "decode"
)

// Actions returns all actions.
func Actions() []Action {
	return []Action{View, Enqueue, Retry, Run, Cancel, Delete, Pause, Limit, Decode}
}

func (c *Config) setDefaults() {
	if c.Title = clean(c.Title, maxName); c.Title == "" {
		c.Title = "Tasks"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.User == nil {
		c.User = defaultUser
	}
}

func defaultUser(r *http.Request) string {
	if name, _, ok := r.BasicAuth(); ok && name != "" {
		return name
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
