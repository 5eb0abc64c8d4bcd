package servertest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// slots is how many a Redis Cluster has.
const slots = 16384

// NewRedisCluster starts a Redis Cluster of as many servers as it is asked for, each
// with its share of the slots, and returns when each knows all. They have the further
// options, and are removed when the test ends.
func NewRedisCluster(tb testing.TB, shards int, options ...string) []*Server {
	tb.Helper()
	var all []*Server
	for i := range shards {
		s := clustered(tb, options)
		all = append(all, s)
		first, last := i*slots/shards, (i+1)*slots/shards-1
		must(tb, s, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last))
		must(tb, all[0], "CLUSTER MEET 127.0.0.1 "+s.port())
	}
	for _, s := range all {
		until(tb, s, "CLUSTER INFO", "cluster_state:ok", fmt.Sprintf("cluster_size:%d\r", shards))
	}
	return all
}

// NewRedisReplica starts a replica of a server of a cluster, with the options of the
// cluster, and returns when it follows the server.
func NewRedisReplica(tb testing.TB, of *Server, options ...string) *Server {
	tb.Helper()
	s := Join(tb, of, options...)
	id, err := ask(of, "CLUSTER MYID")
	_, id, _ = strings.Cut(strings.TrimSpace(id), "\r\n")
	if err != nil || id == "" {
		tb.Fatalf("ask a server for its id: %v", err)
	}
	until(tb, s, "CLUSTER NODES", id)
	must(tb, s, "CLUSTER REPLICATE "+id)
	until(tb, s, "INFO replication", "master_link_status:up")
	return s
}

// Join starts a server that joins the cluster of another, and has no slots.
func Join(tb testing.TB, other *Server, options ...string) *Server {
	tb.Helper()
	s := clustered(tb, options)
	must(tb, other, "CLUSTER MEET 127.0.0.1 "+s.port())
	until(tb, s, "CLUSTER INFO", "cluster_state:ok")
	return s
}

func clustered(tb testing.TB, options []string) *Server {
	tb.Helper()
	return private(tb, "Redis", func() (*Server, error) {
		return startRedis(append([]string{"--cluster-enabled", "yes", "--databases", "1"}, options...)...)
	})
}

// must sends a command to a server that has to answer OK.
func must(tb testing.TB, s *Server, command string) {
	tb.Helper()
	if got, err := ask(s, command); err != nil || got != "+OK\r" {
		tb.Fatalf("%s: %q, %v", command, got, err)
	}
}

// until waits until the answer to a command contains the texts.
func until(tb testing.TB, s *Server, command string, texts ...string) {
	tb.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got, err := ask(s, command)
		if err == nil && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(got, text) }) {
			return
		}
		if time.Since(began) > startTimeout {
			tb.Fatalf("%s: %q, %v, for %v without %q", command, got, err, startTimeout, texts)
		}
	}
}

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.addr())
	return port
}

// addr returns the address of a Redis server.
func (s *Server) addr() string { return strings.TrimSuffix(strings.TrimPrefix(s.URL, "redis://"), "/") }

// ask sends a command to a Redis server, and returns the begin of its answer.
func ask(s *Server, command string) (answer string, err error) {
	c, err := net.DialTimeout("tcp", s.addr(), time.Second)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	return strings.TrimSpace(string(b[:n])) + "\r", err
}
