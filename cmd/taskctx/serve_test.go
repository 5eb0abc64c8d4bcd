package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// served is a running serve.
type served struct {
	url    string
	errOut *output
	stop   func() int
}

// output is what a program writes, to be read while it does.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

var servingOn = regexp.MustCompile(`serving on (http://\S+/)`)

// startServe starts taskctx serve on a file with tasks.
func startServe(t *testing.T, args ...string) *served {
	t.Helper()
	t.Chdir(t.TempDir())
	file := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	require.NoError(t, seedEngine(t.Context(), file))
	ctx, cancel := context.WithCancel(t.Context())
	out, errOut := new(output), new(output)
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"-engine", file, "serve", "-addr", "127.0.0.1:0"}, args...), out, errOut)
	}()
	s := &served{errOut: errOut}
	s.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { s.stop() })
	require.Eventually(t, func() bool {
		if m := servingOn.FindStringSubmatch(out.String()); m != nil {
			s.url = m[1]
		}
		return s.url != ""
	}, 20*time.Second, 5*time.Millisecond, "serve says where: %s%s", out, errOut)
	return s
}

func (s *served) get(t *testing.T, path string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return w.StatusCode, string(b)
}

func TestServe(t *testing.T) {
	s := startServe(t, "-title", "the shop")
	code, page := s.get(t, "")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, page, "the shop")
	assert.Contains(t, page, "card was declined")
	code, _ = s.get(t, "", "X-Forwarded-For", "192.0.2.1")
	assert.Equal(t, http.StatusForbidden, code)
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"api/delete", strings.NewReader(`{"state":["failed"]}`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	w, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, w.Body.Close())
	assert.Equal(t, http.StatusOK, w.StatusCode)
	assert.Contains(t, s.errOut.String(), "action=delete user=127.0.0.1")
	assert.Zero(t, s.stop())
}

func TestServe_ReadOnly(t *testing.T) {
	s := startServe(t, "-read-only")
	_, page := s.get(t, "")
	assert.Contains(t, page, "Read only")
}

func TestServe_Token(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
	s := startServe(t, "-token-file", file)
	for _, header := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic " + "YW5uOndyb25n"}, {"Authorization", "Bearer "}} {
		code, page := s.get(t, "", header...)
		assert.Equal(t, http.StatusUnauthorized, code, header)
		assert.NotContains(t, page, "declined")
	}
	code, page := s.get(t, "", "Authorization", "Bearer s3cret", "X-Forwarded-For", "192.0.2.1")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, page, "declined")
	code, page = s.get(t, "", "Authorization", "Basic YW5uOnMzY3JldA==")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, page, "ann")
}

func TestServe_ElsewhereNeedsAToken(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "example.com:80", "localhost"} {
		var out, errOut bytes.Buffer
		assert.Equal(t, exitUsage, run(t.Context(), []string{"-engine", "memory:", "serve", "-addr", addr}, &out, &errOut), addr)
		assert.Contains(t, errOut.String(), "-token-file", addr)
	}
}
