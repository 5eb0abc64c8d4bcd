package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// refused is an error that says why somebody may not do something.
type refused struct{ err error }

func (e *refused) Error() string { return e.err.Error() }

func (e *refused) Unwrap() error { return e.err }

var (
	errReadOnly = errors.New("this dashboard is read-only")
	errNotLocal = errors.New("only programs on the machine itself may use this dashboard: " +
		"set web.Config.Allow to let others in")
)

// allow returns why the request may not do what it asks for, nil if it may.
func (h *handler) allow(r *http.Request, a Action) error {
	if h.cfg.ReadOnly && a != View {
		return &refused{errReadOnly}
	}
	if h.cfg.Allow == nil {
		if err := local(r); err != nil {
			return &refused{err}
		}
		return nil
	}
	if err := h.cfg.Allow(r, a); err != nil {
		return &refused{err}
	}
	return nil
}

// forwarding are the headers that proxies set. Behind a proxy on this machine
// every request comes from a loopback address.
var forwarding = []string{
	"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Client-Ip",
	"True-Client-Ip", "Cf-Connecting-Ip",
}

// local returns nil for a request of a program on this machine, which has passed
// no proxy. The host must be a loopback one: a name of somebody else's that leads
// here is how a page of theirs would read ours.
func local(r *http.Request) error {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return errNotLocal
	}
	for _, name := range forwarding {
		if _, ok := r.Header[name]; ok {
			return fmt.Errorf("%w; the request has passed a proxy (it has the header %s)", errNotLocal, name)
		}
	}
	if !loopbackHost(r.Host) {
		return fmt.Errorf("%w; the request is for the host %q", errNotLocal, clean(r.Host, maxName))
	}
	return nil
}

func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(host, "]"), "["), ".")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// crossOrigin returns why the request is refused as one from a page of another
// origin, nil if it is not.
func (h *handler) crossOrigin(r *http.Request) error {
	if err := h.origins.Check(r); err != nil {
		return &refused{errors.New("the request comes from a page of another origin: " +
			"see web.Config.TrustedOrigins if that is one of yours")}
	}
	return nil
}

// audit logs an action with its outcome.
func (h *handler) audit(r *http.Request, a Action, err error, attrs ...any) {
	level, text := slog.LevelInfo, "web: action"
	attrs = append([]any{
		slog.String("action", string(a)), slog.String("user", clean(h.cfg.User(r), maxName)), slog.String("remote", r.RemoteAddr),
	}, attrs...)
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", clean(err.Error(), maxReason)))
		if no := new(refused); errors.As(err, &no) {
			text = "web: action refused"
		} else {
			text = "web: action failed"
		}
	}
	h.cfg.Logger.Log(r.Context(), level, text, attrs...)
}

// secure sets the headers that each answer has.
func secure(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "same-origin") // no-referrer would take the origin from our own forms
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	header.Set("Cache-Control", "no-store")
	header.Add("Vary", "Cookie, Authorization")
}
