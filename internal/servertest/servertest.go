package servertest

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// The environment variables that name servers, and that forbid skipping.
const (
	EnvPostgres = "TASKCTX_POSTGRES_URL"
	EnvRedis    = "TASKCTX_REDIS_URL"
	EnvRequire  = "TASKCTX_REQUIRE_SERVERS"
)

// shared is a server that all tests of the binary use.
type shared struct {
	once   sync.Once
	server *Server
	err    error
}

func (s *shared) get(start func() (*Server, error)) (*Server, error) {
	s.once.Do(func() { s.server, s.err = start() })
	return s.server, s.err
}

var (
	sharedPostgres, sharedRedis shared
	redisDatabase               atomic.Int64
)

// Postgres returns the URL of a database on a PostgreSQL server, the same one
// for all tests of the binary: each makes a schema of its own in it.
func Postgres(tb testing.TB) string {
	tb.Helper()
	if url := os.Getenv(EnvPostgres); url != "" {
		return url
	}
	s, err := sharedPostgres.get(startPostgres)
	if err != nil {
		without(tb, "PostgreSQL", EnvPostgres, err)
	}
	return s.URL
}

// Redis returns the URL of an empty database on a Redis server, another one
// for each call. A server named by TASKCTX_REDIS_URL has only the database in
// that URL: named is true, and the caller empties it.
func Redis(tb testing.TB) (url string, named bool) {
	tb.Helper()
	if url := os.Getenv(EnvRedis); url != "" {
		return url, true
	}
	s, err := sharedRedis.get(func() (*Server, error) { return startRedis() })
	if err != nil {
		without(tb, "Redis", EnvRedis, err)
	}
	return fmt.Sprintf("%s%d", s.URL, redisDatabase.Add(1)), false
}

// NewPostgres starts a PostgreSQL server for this test alone, which may stop
// and start it. It is removed when the test ends.
func NewPostgres(tb testing.TB) *Server {
	tb.Helper()
	return private(tb, "PostgreSQL", startPostgres)
}

// NewRedis starts a Redis server for this test alone, which may stop and start
// it: it writes every change to its file before it answers. It is removed when
// the test ends. Its URL ends in "/"; append the number of a database.
func NewRedis(tb testing.TB) *Server {
	tb.Helper()
	return private(tb, "Redis", func() (*Server, error) { return startRedis() })
}

func private(tb testing.TB, what string, start func() (*Server, error)) *Server {
	tb.Helper()
	s, err := start()
	if err != nil {
		without(tb, what, "", err)
	}
	tb.Cleanup(s.remove)
	return s
}

// without skips or fails a test that has no server.
func without(tb testing.TB, what, env string, err error) {
	tb.Helper()
	text := fmt.Sprintf("no %s server for this test: %v", what, err)
	if env != "" {
		text += "; " + env + " can name one"
	}
	lacking(tb, text)
}

// Command returns the path of a program that a test runs beside its engine.
// Without it the test is skipped, or fails as one without its server does.
func Command(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		lacking(tb, fmt.Sprintf("no %s command for this test: %v", name, err))
	}
	return path
}

func lacking(tb testing.TB, text string) {
	tb.Helper()
	if os.Getenv(EnvRequire) == "1" {
		tb.Fatalf("%s (%s=1 makes this a failure)", text, EnvRequire)
	}
	tb.Skip(text)
}

// program finds a program in PATH, else in the folders that the patterns
// match, the latest first.
func program(look func(string) (string, error), name string, patterns ...string) (string, error) {
	path, err := look(name)
	if err == nil {
		return path, nil
	}
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(p, name))
		slices.SortFunc(found, func(a, b string) int {
			return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(b, a)) // 15 before 9
		})
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("find the program %s: %w", name, err)
}
