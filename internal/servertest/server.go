package servertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// startTimeout is how long a server may take to answer.
const startTimeout = 30 * time.Second

// Server is a server process of the test's own. Its methods may be called from
// any goroutine, one at a time.
type Server struct {
	// URL is the address for clients. It stays the same over Stop and Start.
	URL string

	dir   string
	owner *user.User // runs the process; nil is the caller
	args  []string
	ready func() error
	stop  string // the signal for an orderly stop
	kill  string // the signal for a crash

	mu  sync.Mutex
	run *process // nil while the server is down
}

// Stop stops the server in an orderly way, and returns when it has ended.
func (s *Server) Stop(tb testing.TB) { tb.Helper(); s.mustEnd(tb, s.stop) }

// Kill ends the server like a crash, and returns when it has ended.
func (s *Server) Kill(tb testing.TB) { tb.Helper(); s.mustEnd(tb, s.kill) }

func (s *Server) mustEnd(tb testing.TB, signal string) {
	tb.Helper()
	if err := s.end(signal); err != nil {
		tb.Fatalf("stop the server: %v", err)
	}
}

func (s *Server) end(signal string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return nil
	}
	err := s.run.end(signal)
	s.run = nil
	return err
}

// Start starts the server after Stop or Kill, on the same port with the same
// data, and returns when it answers.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	if err := s.start(); err != nil {
		tb.Fatalf("start the server: %v", err)
	}
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil {
		return nil
	}
	run, err := spawn(s)
	if err != nil {
		return err
	}
	var last error
	for began := time.Now(); time.Since(began) < startTimeout; time.Sleep(20 * time.Millisecond) {
		if last = s.ready(); last == nil {
			s.run = run
			return nil
		}
	}
	err = fmt.Errorf("%s does not answer: %w\n%s", filepath.Base(s.args[0]), last, s.logTail())
	return errors.Join(err, run.end(s.kill))
}

// remove stops the server and forgets its data.
func (s *Server) remove() {
	_ = s.end(s.kill)
	_ = os.RemoveAll(s.dir)
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

func (s *Server) logTail() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b[max(0, len(b)-2000):])
}

// newServer makes the folder of a server and picks its port.
func newServer(name string, owner *user.User) (s *Server, port string, err error) {
	if port, err = freePort(); err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", "servertest-"+name+"-")
	if err != nil {
		return nil, "", fmt.Errorf("make a folder: %w", err)
	}
	s = &Server{dir: dir, owner: owner}
	if owner != nil {
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return s, port, nil
}

// busPort is how far the port by which a server of a Redis Cluster talks to the others
// is from that for clients.
const busPort = 10_000

// freePort returns a port below those that systems give to clients. While the
// server is down, a client's own end could otherwise get its port, and clients
// that try to reach it could connect to themselves. The port of a cluster's bus is free
// too, and none that freePort returns.
func freePort() (string, error) {
	for range 100 {
		port := 10_000 + rand.N(busPort)
		if free(port) && free(port+busPort) {
			return strconv.Itoa(port), nil
		}
	}
	return "", errors.New("find a free port: none of 100 was")
}

func free(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	return err == nil && l.Close() == nil
}

// startRedis makes and starts a server, with further options.
func startRedis(options ...string) (*Server, error) {
	redis, err := program(exec.LookPath, "redis-server", "/usr/local/opt/redis/bin", "/opt/homebrew/opt/redis/bin")
	if err != nil {
		if redis, err = program(exec.LookPath, "valkey-server"); err != nil {
			return nil, fmt.Errorf("find the program redis-server: %w", err)
		}
	}
	s, port, err := newServer("redis", nil)
	if err != nil {
		return nil, err
	}
	s.URL = "redis://127.0.0.1:" + port + "/"
	s.args = []string{
		redis, "--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--databases", "10000",
		"--save", "", "--appendonly", "yes", "--appendfsync", "no",
	}
	s.args = append(s.args, options...)
	s.stop, s.kill = "TERM", "KILL"
	s.ready = func() error { return pingRedis("127.0.0.1:" + port) }
	if err := s.start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// pingRedis succeeds once the server has read its data and answers.
func pingRedis(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	if answer := strings.TrimSpace(string(b[:n])); answer != "+PONG" {
		return errors.New(answer)
	}
	return nil
}
