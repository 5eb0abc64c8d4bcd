package servertest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// postgresProgram finds the server's program; the others are beside it.
func postgresProgram() (string, error) {
	postgres, err := program(exec.LookPath, "postgres", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")
	if err != nil {
		return "", err
	}
	if postgres, err = filepath.EvalSymlinks(postgres); err != nil {
		return "", fmt.Errorf("find postgres: %w", err)
	}
	return postgres, nil
}

// lesserUser is whom a server runs as that refuses to run as root: the user
// postgres, or else nobody. It is nil for a caller who is not root.
func lesserUser() (*user.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		owner, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("find a user to run a server as: %w", err)
	}
	return owner, nil
}

// newPostgres makes the folder of a server, in which fill makes the data.
func newPostgres(fill func(s *Server, bin, data string) error) (*Server, error) {
	postgres, err := postgresProgram()
	if err != nil {
		return nil, err
	}
	owner, err := lesserUser()
	if err != nil {
		return nil, err
	}
	s, port, err := newServer("postgres", owner)
	if err != nil {
		return nil, err
	}
	data, bin := filepath.Join(s.dir, "data"), filepath.Dir(postgres)
	if err := fill(s, bin, data); err != nil {
		s.remove()
		return nil, err
	}
	s.URL = "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	s.args = []string{
		postgres, "-D", data, "-h", "127.0.0.1", "-p", port,
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200",
	}
	s.stop, s.kill = "INT", "QUIT"
	s.ready = func() error {
		out, err := exec.Command(filepath.Join(bin, "pg_isready"), "-h", "127.0.0.1", "-p", port).CombinedOutput()
		if err != nil {
			return fmt.Errorf("pg_isready: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	if err := s.start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// startPostgres makes and starts a server.
func startPostgres() (*Server, error) {
	return newPostgres(func(s *Server, bin, data string) error {
		initdb := s.command(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres",
			"-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
		if out, err := initdb.CombinedOutput(); err != nil {
			return fmt.Errorf("initdb: %w\n%s", err, out)
		}
		return nil
	})
}

// NewStandby starts a PostgreSQL server for this test alone that follows another one
// and answers reads. SELECT pg_promote() makes it one of its own.
func NewStandby(tb testing.TB, primary *Server) *Server {
	tb.Helper()
	return private(tb, "PostgreSQL", func() (*Server, error) {
		return newPostgres(func(s *Server, bin, data string) error {
			backup := s.command(filepath.Join(bin, "pg_basebackup"), "-d", primary.URL, "-D", data, "-c", "fast", "-X", "stream",
				"--write-recovery-conf", "--no-sync")
			if out, err := backup.CombinedOutput(); err != nil {
				return fmt.Errorf("pg_basebackup: %w\n%s", err, out)
			}
			return nil
		})
	})
}

// Follow makes a PostgreSQL server that was stopped in an orderly way the standby of
// another one from its next start on.
func (s *Server) Follow(tb testing.TB, primary *Server) {
	tb.Helper()
	u, err := url.Parse(primary.URL)
	if err != nil {
		tb.Fatal(err)
	}
	conf := fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%s user=postgres'\n", u.Port())
	for name, text := range map[string]string{"standby.signal": "", "postgresql.auto.conf": conf} {
		path := filepath.Join(s.dir, "data", name)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.WriteString(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// NewPgBouncer starts a connection pooler before the PostgreSQL server at the URL,
// with a pool mode of PgBouncer's, and returns the URL through it. Where there is no
// pgbouncer the test is skipped, whatever TASKCTX_REQUIRE_SERVERS says.
func NewPgBouncer(tb testing.TB, raw, mode string) string {
	tb.Helper()
	pgbouncer, err := program(exec.LookPath, "pgbouncer", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
	if err != nil {
		tb.Skipf("no connection pooler for this test: %v", err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := startPgBouncer(pgbouncer, u, mode)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.remove)
	return s.URL
}

func startPgBouncer(pgbouncer string, to *url.URL, mode string) (*Server, error) {
	owner, err := lesserUser()
	if err != nil {
		return nil, err
	}
	s, port, err := newServer("pgbouncer", owner)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(s.dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = %s
max_client_conn = 200
default_pool_size = 20
`, to.Hostname(), to.Port(), to.User.Username(), port, mode)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		s.remove()
		return nil, fmt.Errorf("configure pgbouncer: %w", err)
	}
	through := *to
	through.Host = net.JoinHostPort("127.0.0.1", port)
	s.URL, s.args, s.stop, s.kill = through.String(), []string{pgbouncer, conf}, "TERM", "KILL"
	s.ready = func() error {
		c, err := net.DialTimeout("tcp", through.Host, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := s.start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}
