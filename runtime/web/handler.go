package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/wire"
)

const (
	// storeTimeout bounds what one request may ask of the engine.
	storeTimeout = 10 * time.Second
	// maxBody bounds the body of a request, in bytes.
	maxBody = 16 << 20
)

// handler is the dashboard of one app.
type handler struct {
	app     *runtime.App
	cfg     Config
	origins *http.CrossOriginProtection
	mux     *http.ServeMux
	api     []operation
	pulse   pulse
	past    histories
}

// Handler returns the dashboard of the app, which need not be started. Mount it
// under a prefix with http.StripPrefix.
func Handler(app *runtime.App, cfg Config) http.Handler {
	cfg.setDefaults()
	h := &handler{app: app, cfg: cfg, origins: http.NewCrossOriginProtection(), mux: http.NewServeMux()}
	for _, o := range cfg.TrustedOrigins {
		if err := h.origins.AddTrustedOrigin(o); err != nil {
			panic(fmt.Sprintf("web.Config.TrustedOrigins: %v", err))
		}
	}
	h.pages()
	h.endpoints()
	h.mux.HandleFunc("GET /assets/{name}", serveAsset)
	return h
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	p := r.URL.Path
	if p == "" && !strings.HasSuffix(originalPath(r), "/") { // mounted as /tasks, without the slash
		redirect(w, path.Base(originalPath(r))+"/"+query(r))
		return
	}
	if !strings.HasPrefix(p, "/") { // stripped together with the prefix
		p = "/" + p
		r = withPath(r, p)
	}
	q := &request{Request: r, h: h, w: w, root: rootOf(r.URL.EscapedPath()), now: time.Now(), json: strings.HasPrefix(p, "/api/")}
	if path.Clean(p) != p { // the mux would redirect, and does not know the prefix
		q.fail(notFound("there is no page %q", clean(p, maxLine)))
		return
	}
	if _, pattern := h.mux.Handler(r); pattern == "" {
		q.fail(h.unrouted(w, r))
		return
	}
	if err := h.crossOrigin(r); err != nil {
		h.audit(r, Action(path.Base(p)), err, "path", clean(p, maxLine))
		q.fail(err)
		return
	}
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), requestKey{}, q))
	defer cancel()
	q.Request = r.WithContext(ctx)
	h.mux.ServeHTTP(w, q.Request)
}

type requestKey struct{}

// requestOf returns the request that ServeHTTP made.
func requestOf(r *http.Request) *request {
	q := r.Context().Value(requestKey{}).(*request)
	q.Request = r // the mux has added values of the path
	return q
}

// unrouted returns the error of a request that no route is for.
func (h *handler) unrouted(w http.ResponseWriter, r *http.Request) error {
	next, _ := h.mux.Handler(r)
	var told refusalRecorder
	next.ServeHTTP(&told, r)
	if told.code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", told.Header().Get("Allow"))
		return &statusError{told.code, fmt.Sprintf("%s is not possible here", r.Method)}
	}
	return notFound("there is no page %q; if this dashboard is mounted under a prefix, wrap its handler by http.StripPrefix",
		clean(r.URL.Path, maxLine))
}

// refusalRecorder keeps the status and the headers of an answer.
type refusalRecorder struct {
	header http.Header
	code   int
}

func (r *refusalRecorder) Header() http.Header {
	if r.header == nil {
		r.header = make(http.Header)
	}
	return r.header
}

func (r *refusalRecorder) Write(b []byte) (int, error) { return len(b), nil }

func (r *refusalRecorder) WriteHeader(code int) { r.code = code }

// originalPath is the path as it was requested, before a prefix was stripped.
func originalPath(r *http.Request) string {
	p, _, _ := strings.Cut(r.RequestURI, "?")
	return p
}

func query(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return "?" + r.URL.RawQuery
}

func withPath(r *http.Request, p string) *http.Request {
	own, u := *r, *r.URL
	u.Path, u.RawPath = p, ""
	own.URL = &u
	return &own
}

// rootOf is the way from the page at a path, escaped as a browser has it, to the
// dashboard's first page.
func rootOf(p string) string {
	if n := strings.Count(p, "/") - 1; n > 0 {
		return strings.Repeat("../", n)
	}
	return "./"
}

// redirect leads to a relative URL after an action, or for good.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// request is one request on its way through the handler.
type request struct {
	*http.Request
	h    *handler
	w    http.ResponseWriter
	root string // the relative URL of the first page
	now  time.Time
	json bool // it is answered in JSON
}

// store returns a context for calls of the engine, which ends after storeTimeout.
func (q *request) store() (context.Context, context.CancelFunc) {
	return context.WithTimeout(q.Context(), storeTimeout)
}

// left returns how long the request may still read optional parts of its page.
func (q *request) left() time.Duration { return fillTime - time.Since(q.now) }

// late reports whether that time is over.
func (q *request) late() bool { return q.left() <= 0 }

// statusError is an error with the status that it is answered with.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

func notFound(format string, args ...any) error {
	return &statusError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &statusError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// statusOf returns the status for an error. What is not known is the store's.
func statusOf(err error) int {
	var own *statusError
	var no *refused
	var large *http.MaxBytesError
	var invalid *wire.InvalidError
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &no):
		return http.StatusForbidden
	case errors.As(err, &large), errors.Is(err, runtime.ErrPayloadTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, runtime.ErrNotFound), errors.Is(err, runtime.ErrUnknownTask),
		errors.Is(err, runtime.ErrUnknownSchedule):
		return http.StatusNotFound
	case errors.Is(err, runtime.ErrState), errors.Is(err, runtime.ErrRunning):
		return http.StatusConflict
	case errors.Is(err, runtime.ErrCursor):
		return http.StatusBadRequest
	case errors.Is(err, runtime.ErrUnsupported), errors.Is(err, runtime.ErrOption), errors.As(err, &invalid):
		return http.StatusUnprocessableEntity
	}
	return http.StatusServiceUnavailable
}

// fail answers with an error.
func (q *request) fail(err error) {
	code := statusOf(err)
	if code == http.StatusServiceUnavailable {
		if q.Context().Err() != nil {
			return // nobody is there any more
		}
		q.w.Header().Set("Retry-After", "5")
		q.h.cfg.Logger.WarnContext(q.Context(), "web: the store does not answer", "error", err.Error(), "path", q.URL.Path)
	}
	if q.json {
		q.writeJSON(code, apiError{Error: cleanLines(err.Error())})
		return
	}
	q.failPage(code, err)
}
