package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// silence is how long a connection may owe an answer before all connections of
// its age are taken for dead.
const silence = 1500 * time.Millisecond

// lines are all connections of an engine that Open made, to each server of a cluster.
type lines struct {
	lost atomic.Int64 // how many answers did not come

	mu   sync.Mutex
	all  map[*conn]struct{} // guarded by mu
	hung bool               // guarded by mu: new ones are closed at once
}

func newLines() *lines { return &lines{all: make(map[*conn]struct{})} }

// add notes a connection, and reports whether it may be used.
func (l *lines) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.hung {
		l.all[c] = struct{}{}
	}
	return !l.hung
}

func (l *lines) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
}

// closeThose closes the connections that f selects. The client notices when it next
// uses one.
func (l *lines) closeThose(f func(c *conn) bool) {
	var those []*conn
	l.mu.Lock()
	for c := range l.all {
		if f(c) {
			those = append(those, c)
		}
	}
	l.mu.Unlock()
	for _, c := range those {
		_ = c.Close()
	}
}

// hangUp closes all connections, and each that is made from now on: the client lets go
// of one on which it waits for an answer only when its own timeout ends.
func (l *lines) hangUp() {
	l.mu.Lock()
	l.hung = true
	l.mu.Unlock()
	l.closeThose(func(*conn) bool { return true })
}

// conns are the connections to one server. The client itself drops one at a time, after
// its own timeout. When one of them has fallen silent, or leads to a read-only server, all
// of them are closed: new ones lead to the current server of the name.
type conns struct{ *lines }

var _ redis.Hook = (*conns)(nil)

func newConns(l *lines) *conns { return &conns{l} }

// reloads asks a cluster for its shards anew when one cannot be reached: another server
// may have taken its place.
type reloads struct{ db *redis.ClusterClient }

var _ redis.Hook = (*reloads)(nil)

// DialHook implements [redis.Hook].
func (r *reloads) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (r *reloads) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return r.after(ctx, next(ctx, cmd)) }
}

// ProcessPipelineHook implements [redis.Hook].
func (r *reloads) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return r.after(ctx, next(ctx, cmds)) }
}

func (r *reloads) after(ctx context.Context, err error) error {
	if err != nil && isUnreachable(err) {
		r.db.ReloadState(ctx)
	}
	return err
}

// conn is a connection of a client.
type conn struct {
	net.Conn
	of     *conns
	opened time.Time
	owes   atomic.Int64 // when an answer became due, as the time since opened; 0 if none is
}

// socket is a conn that the client can look at for data.
type socket struct {
	*conn
	syscall.Conn
}

// DialHook implements [redis.Hook].
func (cs *conns) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, of: cs, opened: time.Now()}
		if !cs.add(c) {
			_ = nc.Close()
			return nil, net.ErrClosed
		}
		if s, ok := nc.(syscall.Conn); ok {
			return &socket{c, s}, nil
		}
		return c, nil
	}
}

// ProcessHook implements [redis.Hook].
func (cs *conns) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && isReadOnly(err) {
			cs.closeOpenedBefore(time.Now())
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (cs *conns) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err != nil && isReadOnly(err) {
			cs.closeOpenedBefore(time.Now())
		}
		return err
	}
}

func isReadOnly(err error) bool { return strings.Contains(err.Error(), "READONLY") }

// closeOpenedBefore closes the connections that were opened before at.
func (cs *conns) closeOpenedBefore(at time.Time) {
	cs.closeThose(func(c *conn) bool { return c.of == cs && c.opened.Before(at) })
}

// Write implements [net.Conn].
func (c *conn) Write(b []byte) (int, error) {
	c.owes.CompareAndSwap(0, int64(time.Since(c.opened))+1)
	n, err := c.Conn.Write(b)
	if err != nil {
		c.of.lost.Add(1)
	}
	return n, err
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	switch owes := c.owes.Load(); {
	case err == nil:
		c.owes.Store(0)
	case owes != 0:
		c.of.lost.Add(1)
		since := c.opened.Add(time.Duration(owes))
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Since(since) > silence {
			c.of.closeOpenedBefore(since)
		}
	}
	return n, err
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.of.remove(c)
	return c.Conn.Close()
}

// lostAnswer is an error of an enqueue after which the tasks may or may not be
// stored.
type lostAnswer struct{ error }

func (e lostAnswer) Unwrap() error { return e.error }

// answersLost returns how many answers of the server did not come; see lost.
func (e *Engine) answersLost() int64 {
	if e.lines == nil {
		return 0
	}
	return e.lines.lost.Load()
}

// lost reports whether the server may have acted in spite of err. before is
// answersLost at the start of the request. The client may have sent the
// request several times, and only its last error is known. With a client of
// the caller's own, the server may have acted on every error that is not its
// answer, unless no connection was made; and on one by which a cluster refuses the last
// of several requests.
func (e *Engine) lost(err error, before int64) bool {
	if e.lines != nil {
		return e.lines.lost.Load() != before
	}
	var answer redis.Error
	return (!errors.As(err, &answer) || isMoving(err)) && !errors.Is(err, redis.ErrClosed) && !errors.Is(err, redis.ErrPoolTimeout)
}

// isUnreachable reports that the server could not be reached, or cannot answer
// for now: asking again may succeed.
func isUnreachable(err error) bool {
	var answer redis.Error
	var network net.Error
	switch {
	case errors.As(err, &answer):
		return slices.ContainsFunc(passing, func(text string) bool { return strings.Contains(answer.Error(), text) })
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return true
	}
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// passing are error answers of a server that will recover.
var passing = append([]string{"LOADING", "READONLY", "MASTERDOWN", "NOREPLICAS", "max number of clients", "BUSY"}, moving...)

// moving are answers of a cluster while another server takes keys over.
var moving = []string{"CLUSTERDOWN ", "TRYAGAIN ", "MOVED ", "ASK "}

func isMoving(err error) bool {
	return slices.ContainsFunc(moving, func(prefix string) bool { return redis.HasErrorPrefix(err, strings.TrimSpace(prefix)) })
}
