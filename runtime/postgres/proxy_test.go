package postgres_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between an engine and its server, and can hold everything up, as
// if the engine's process were suspended.
type proxy struct {
	url string

	mu    sync.RWMutex // held for writing while everything is held up
	conns sync.WaitGroup
}

func newProxy(tb testing.TB, raw string) *proxy {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	u.Host = l.Addr().String()
	p := &proxy{url: u.String()}
	p.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.serve(c, target) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.conns.Wait() // the engine has closed its connections
	})
	return p
}

func (p *proxy) serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	var back sync.WaitGroup
	back.Go(func() {
		p.pump(client, server)
		_ = client.Close()
	})
	p.pump(server, client)
	_ = server.Close()
	back.Wait()
}

func (p *proxy) pump(to io.Writer, from io.Reader) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.mu.RLock()
		_, werr := to.Write(b[:n])
		p.mu.RUnlock()
		if err != nil || werr != nil {
			return
		}
	}
}

// pause holds everything up until resume is called.
func (p *proxy) pause() (resume func()) {
	p.mu.Lock()
	return p.mu.Unlock
}
