package servertest

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// slots is how many a Redis Cluster has.
const slots = 16384

// NewRedisCluster starts a Redis Cluster of as many servers as it is asked for, each
// with its share of the slots and no replica, and returns when each knows all. They
// are removed when the test ends.
func NewRedisCluster(tb testing.TB, shards int) []*Server {
	tb.Helper()
	var all []*Server
	for range shards {
		s := private(tb, "Redis", func() (*Server, error) { return startRedis("--cluster-enabled", "yes", "--databases", "1") })
		all = append(all, s)
	}
	for i, s := range all {
		first, last := i*slots/shards, (i+1)*slots/shards-1
		if got, err := ask(s, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last)); err != nil || got != "+OK\r" {
			tb.Fatalf("give slots to a server: %q, %v", got, err)
		}
		_, port, _ := net.SplitHostPort(s.addr())
		if got, err := ask(all[0], "CLUSTER MEET 127.0.0.1 "+port); err != nil || got != "+OK\r" {
			tb.Fatalf("join servers: %q, %v", got, err)
		}
	}
	for _, s := range all {
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			info, err := ask(s, "CLUSTER INFO")
			if err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", shards)) {
				break
			}
			if time.Since(began) > startTimeout {
				tb.Fatalf("the cluster does not form: %q, %v", info, err)
			}
		}
	}
	return all
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
