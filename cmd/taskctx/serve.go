package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/web"
)

// tokenVariable names the environment variable with the token of serve.
const tokenVariable = "TASKCTX_TOKEN"

// stopWithin is how long serve waits for requests when it is to stop.
const stopWithin = 5 * time.Second

// serveFlags declares serve.
func serveFlags(f *flag.FlagSet) action {
	addr := f.String("addr", "localhost:8080", "where to listen; other than on this machine it needs a token")
	readOnly := f.Bool("read-only", false, "show tasks, and change none")
	title := f.String("title", "", "what the pages are headed with")
	tokenFile := f.String("token-file", "", "a `file` with the token to ask for, by default $"+tokenVariable+
		": browsers give it as the password, scripts as Authorization: Bearer; use TLS in front of it")
	return func(ctx context.Context, s *session, _ []string) error {
		token := os.Getenv(tokenVariable)
		if *tokenFile != "" {
			b, err := os.ReadFile(*tokenFile)
			if err != nil {
				return fmt.Errorf("read the token: %w", err)
			}
			if token = strings.TrimSpace(string(b)); token == "" {
				return fmt.Errorf("read the token: %s is empty", *tokenFile)
			}
		}
		if token == "" && !loopback(*addr) {
			return usagef("-addr %s is not on this machine alone: set -token-file or %s", *addr, tokenVariable)
		}
		cfg := web.Config{ReadOnly: *readOnly, Title: *title, Logger: s.logger()}
		if token != "" {
			cfg.Allow = func(*http.Request, web.Action) error { return nil } // whoever has the token
		}
		return serve(ctx, s, *addr, withToken(token, web.Handler(s.app, cfg)))
	}
}

// serve serves the handler until ctx ends.
func serve(ctx context.Context, s *session, addr string, h http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx }, // live pages end with it
	}
	fmt.Fprintf(s.out, "serving on http://%s/\n", listener.Addr())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	err = server.Shutdown(end)
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// loopback reports whether only this machine can reach the address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// withToken asks for the token, if there is one: as the password of basic
// authentication, whoever the user is, or as a bearer.
func withToken(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, ok := r.BasicAuth()
		if !ok {
			given, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		}
		got := sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="taskctx", charset="UTF-8"`)
			http.Error(w, "give the token as the password, with any user name", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
