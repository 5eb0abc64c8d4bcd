package servertest

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between an engine and its server. It can hold everything up, as
// if the engine's process were suspended, or cut a connection.
type Proxy struct {
	// URL is the server's, with the proxy's address.
	URL string

	mu    sync.RWMutex // held for writing while everything is held up
	conns sync.WaitGroup

	// cutAt is the request, counted from 1 over all connections, at which the
	// connection is cut: before the server has it, or after, so that its
	// answer is lost.
	requests  atomic.Int64
	cutAt     atomic.Int64
	cutBefore atomic.Bool

	target atomic.Pointer[string] // the address where new connections lead

	// deafened counts calls of Deafen: connections made before swallow all.
	deafened atomic.Int64
}

// Deafen makes the current connections swallow all data, in both directions,
// as when the network between forgot them. New ones work.
func (p *Proxy) Deafen() { p.deafened.Add(1) }

// LeadTo makes new connections lead to the server at another URL, as a name or
// an address does after a failover. Current ones stay with their server.
func (p *Proxy) LeadTo(tb testing.TB, raw string) {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	p.target.Store(&u.Host)
}

// Cut cuts the connection of the n-th request from now: before the server has
// the request, or after, so that its answer is lost.
func (p *Proxy) Cut(n int64, before bool) {
	p.cutBefore.Store(before)
	p.cutAt.Store(p.requests.Load() + n)
}

// WasCut reports whether the cut has happened.
func (p *Proxy) WasCut() bool { return p.requests.Load() >= p.cutAt.Load() }

// Requests returns how often a client has sent something, and so how many round
// trips there were where each waits for its answer.
func (p *Proxy) Requests() int64 { return p.requests.Load() }

// NewProxy starts a proxy of the server at the URL. It ends with the test,
// after all that was opened through it was closed.
func NewProxy(tb testing.TB, raw string) *Proxy {
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
	p := &Proxy{URL: u.String()}
	p.target.Store(&target)
	p.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.serve(c, *p.target.Load()) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.conns.Wait() // the engine has closed its connections
	})
	return p
}

func (p *Proxy) serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	made := p.deafened.Load()
	deaf := func() bool { return p.deafened.Load() != made }
	var back sync.WaitGroup
	back.Go(func() {
		p.pump(client, server, deaf, func() (before, after bool) { return false, false })
		_ = client.Close()
	})
	p.pump(server, client, deaf, func() (before, after bool) {
		if p.requests.Add(1) != p.cutAt.Load() {
			return false, false
		}
		before = p.cutBefore.Load()
		return before, !before
	})
	_ = server.Close()
	back.Wait()
}

// pump carries bytes until one side ends, or cut asks to end before or after
// passing on the data read. While the connection is deaf it passes on nothing.
func (p *Proxy) pump(to, from net.Conn, deaf func() bool, cut func() (before, after bool)) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.mu.RLock()
		if deaf() {
			p.mu.RUnlock()
			if err != nil {
				return
			}
			continue
		}
		before, after := cut()
		if after {
			_ = from.Close() // no answer
		}
		var werr error
		if !before {
			_, werr = to.Write(b[:n])
		}
		p.mu.RUnlock()
		if after {
			time.Sleep(5 * time.Millisecond) // let the server act
		}
		if err != nil || werr != nil || before || after {
			return
		}
	}
}

// Pause holds everything up until resume is called.
func (p *Proxy) Pause() (resume func()) {
	p.mu.Lock()
	return p.mu.Unlock
}
