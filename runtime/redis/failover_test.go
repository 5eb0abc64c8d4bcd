package redis_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

// pair is a server and its replica.
type pair struct {
	*testing.T
	first, second *servertest.Server
}

func hostPort(t testing.TB, s *servertest.Server) (host, port string) {
	t.Helper()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	return u.Hostname(), u.Port()
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t, servertest.NewRedis(t), servertest.NewRedis(t)}
	p.follow(p.second, p.first)
	return p
}

// do has a client of a server.
func (p *pair) do(s *servertest.Server, f func(db *goredis.Client)) {
	p.Helper()
	db, err := client(s.URL + "0")
	require.NoError(p, err)
	defer db.Close()
	f(db)
}

// follow makes one server the replica of the other, and waits until it has all that
// the other has.
func (p *pair) follow(s, of *servertest.Server) {
	p.Helper()
	host, port := hostPort(p.T, of)
	p.do(s, func(db *goredis.Client) {
		require.NoError(p, db.ReplicaOf(context.Background(), host, port).Err())
	})
	p.caughtUp(of)
}

// caughtUp waits until the replica has all that the server has written.
func (p *pair) caughtUp(s *servertest.Server) {
	p.Helper()
	p.do(s, func(db *goredis.Client) {
		eventually(p.T, "the replica has all", func() bool {
			require.NoError(p, db.Set(context.Background(), "written", 1, 0).Err())
			n, err := db.Wait(context.Background(), 1, time.Second).Result()
			return err == nil && n == 1
		})
	})
}

// promote makes the replica the server that writes, and the other its replica,
// which refuses to write on the connections there are.
func (p *pair) promote() {
	p.Helper()
	p.caughtUp(p.first)
	p.do(p.second, func(db *goredis.Client) {
		require.NoError(p, db.ReplicaOf(context.Background(), "NO", "ONE").Err())
	})
	p.follow(p.first, p.second)
}

// TestOpen_LeavesAReadOnlyServer: after a failover the connections to the server that
// was are closed, and all goes on where the name leads by now: what waits runs, a run
// under way ends, callers enqueue, wait and cancel.
//
// Proves: RELIABILITY 25
func TestOpen_LeavesAReadOnlyServer(t *testing.T) {
	p := newPair(t)
	proxy := servertest.NewProxy(t, p.first.URL+"0")
	task := sumTask("")
	began, release := make(chan struct{}, 10), make(chan struct{})
	app := newApp(t, proxy.URL, runtime.Config{Workers: 2}, task, func(ctx *runtime.Context, x *sumArgs) (int, error) {
		if x.a != 100 {
			return x.a + x.b, nil
		}
		began <- struct{}{}
		select {
		case <-release:
			return x.a + x.b, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	})
	enqueue := func(a int, opts ...runtime.Option) *runtime.Handle[int] {
		t.Helper()
		var h *runtime.Handle[int]
		eventually(t, "a task is enqueued", func() bool {
			var err error
			h, err = sumCall(task, a, 1, opts...).Enqueue(t.Context(), app)
			return err == nil
		})
		return h
	}
	require.NoError(t, app.Start(t.Context()))
	runs, stays := enqueue(100), enqueue(100)
	<-began
	<-began
	waits, delayed := enqueue(2), enqueue(3, runtime.WithDelay(2*time.Second))
	waited := make(chan error, 1)
	go func() {
		_, err := waits.Wait(t.Context())
		waited <- err
	}()

	p.promote()
	proxy.LeadTo(t, p.second.URL)
	at := time.Now()
	after := enqueue(4)
	t.Logf("%v after the failover a task is enqueued", time.Since(at))
	eventually(t, "a run is cancelled", func() bool { return app.Cancel(t.Context(), stays.ID(), "enough") == nil })
	_, err := stays.Wait(t.Context())
	require.ErrorIs(t, err, engine.ErrCancelled)
	close(release)
	for _, h := range []*runtime.Handle[int]{runs, after, delayed} {
		_, err := h.Wait(t.Context())
		require.NoError(t, err)
	}
	require.NoError(t, <-waited)
	assert.Less(t, time.Since(at), 15*time.Second)
	t.Logf("%v after the failover all have ended", time.Since(at))
}

// TestOpen_Sentinel: a URL with a master_name leads to the server that Sentinels
// name, and after its death to the one that they make of its replica.
//
// Proves: RELIABILITY 25
func TestOpen_Sentinel(t *testing.T) {
	slow(t)
	p := newPair(t)
	host, port := hostPort(t, p.first)
	sentinel := startSentinel(t, fmt.Sprintf("sentinel monitor tasks %s %s 1\nsentinel down-after-milliseconds tasks 1000\n"+
		"sentinel failover-timeout tasks 5000\n", host, port))
	task := sumTask("")
	app := newApp(t, "redis://"+sentinel+"/0?master_name=tasks", runtime.Config{Workers: 2}, task,
		func(_ *runtime.Context, x *sumArgs) (int, error) { return x.a + x.b, nil })
	require.NoError(t, app.Start(t.Context()))
	h, err := sumCall(task, 1, 1).Enqueue(t.Context(), app)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.NoError(t, err)

	db := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel})
	defer db.Close()
	eventually(t, "the sentinel knows the replica", func() bool {
		replicas, err := db.Replicas(t.Context(), "tasks").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	p.caughtUp(p.first)
	p.first.Kill(t)
	at := time.Now()
	eventually(t, "a task is enqueued", func() bool {
		h, err = sumCall(task, 2, 2).Enqueue(t.Context(), app)
		return err == nil
	})
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	t.Logf("%v after the death of the server a task has ended on the other", time.Since(at))
}

// startSentinel starts a Sentinel for the test, and returns its address.
func startSentinel(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	s := servertest.NewRedis(t) // whose port it takes
	_, port := hostPort(t, s)
	s.Stop(t)
	config += fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\n", port, dir)
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	cmd := exec.Command(servertest.Command(t, "redis-server"), file, "--sentinel")
	out := new(strings.Builder)
	cmd.Stdout = out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	address := "127.0.0.1:" + port
	eventually(t, "the sentinel answers", func() bool {
		c := goredis.NewSentinelClient(&goredis.Options{Addr: address})
		defer c.Close()
		_, err := c.GetMasterAddrByName(t.Context(), "tasks").Result()
		return err == nil
	})
	return address
}

// TestClose_SilentServer: a server that does not answer does not hold up Close, and a
// caller under way hears that it is not known whether the task is stored.
//
// Proves: RELIABILITY 25
func TestClose_SilentServer(t *testing.T) {
	slow(t)
	s := servertest.NewRedis(t)
	admin, err := client(s.URL + "0")
	require.NoError(t, err)
	defer admin.Close()
	e := open(t, s.URL+"0", redis.Config{})
	app := runtime.New(e, runtime.Config{Logger: testLog(t)})
	require.NoError(t, admin.Do(t.Context(), "CLIENT", "PAUSE", 60_000, "WRITE").Err())
	under := make(chan error, 1)
	go func() {
		_, err := sumCall(sumTask(""), 1, 1).Enqueue(context.Background(), app)
		under <- err
	}()
	eventually(t, "the server holds the enqueue up", func() bool {
		info, err := admin.Info(t.Context(), "clients").Result()
		return err == nil && strings.Contains(info, "blocked_clients:1")
	})
	at := time.Now()
	require.NoError(t, e.Close())
	require.ErrorAs(t, <-under, new(*engine.UncertainError))
	assert.Less(t, time.Since(at), 4*time.Second)
	t.Logf("closed after %v", time.Since(at))
}

// TestClose_SilentNetwork: the network swallows all, so that a connection on which the
// engine hears of ends is made anew, and waits for its first answer for as long as the
// client may. Close does not.
func TestClose_SilentNetwork(t *testing.T) {
	slow(t)
	t.Parallel()
	proxy := servertest.NewProxy(t, servertest.NewRedis(t).URL)
	e, err := redis.Open(t.Context(), proxy.URL+"0?read_timeout=100s", redis.Config{Logger: quiet})
	require.NoError(t, err)
	app := runtime.New(e, runtime.Config{Logger: quiet})
	h, err := sumCall(sumTask(""), 1, 1).Enqueue(t.Context(), app)
	require.NoError(t, err)
	waited := make(chan error, 1)
	go func() {
		_, err := h.Wait(context.Background())
		waited <- err
	}()
	time.Sleep(500 * time.Millisecond) // it is heard of
	resume := proxy.Pause()
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = sumCall(sumTask(""), 1, 1).Enqueue(ctx, app) // its connection is taken for dead, and all others
	require.Error(t, err)
	time.Sleep(500 * time.Millisecond) // new ones are made
	at := time.Now()
	require.NoError(t, e.Close())
	require.ErrorIs(t, <-waited, engine.ErrClosed)
	t.Logf("closed after %v", time.Since(at))
	assert.Less(t, time.Since(at), 50*time.Second)
}
