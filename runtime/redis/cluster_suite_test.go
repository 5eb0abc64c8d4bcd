//go:build !race

package redis_test

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/redis"
)

// onClusterToo are the groups of the suite that an ordinary run has on a cluster: those
// where a script touches keys of several queues, or of none. The others take minutes.
var onClusterToo = []string{
	"Insert", "Key", "KeyHold", "Replace", "Journal", "Ends", "Bereft", "Signal", "Limit", "Pause", "Names", "Cancel",
	"Delete", "Hostile", "Count", "History", "Look",
}

// TestEngine_Cluster: the suite's promises hold on a cluster of three shards. With -cluster
// it is the whole suite, for the apps of four hash tags at once. The race detector looks at
// the same code in TestEngine.
//
// Proves: FEATURES 117
func TestEngine_Cluster(t *testing.T) {
	slow(t)
	t.Parallel()
	servers := servertest.NewRedisCluster(t, 3)
	tags := []string{redis.DefaultHashTag}
	if *wholeCluster {
		tags = append(tags, "a", "b", "c")
	}
	for _, tag := range tags {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			suite(t, place{
				open: func(tb testing.TB, cfg redis.Config) *redis.Engine {
					cfg.HashTag = tag
					return open(tb, servers[0].URL, cfg)
				},
				through: func(tb testing.TB, cfg redis.Config) (*redis.Engine, func() func()) {
					group, _, _ := strings.Cut(strings.TrimPrefix(tb.Name(), t.Name()+"/"), "/")
					if !*wholeCluster && !slices.Contains(onClusterToo, group) {
						tb.Skip("run by make cluster")
					}
					cfg.HashTag = tag
					return throughProxies(tb, servers, cfg)
				},
				asynq:  asynq.RedisClusterClientOpt{Addrs: addrs(t, servers)},
				prefix: tag + "}",
			}, 2*time.Second, 100, nil)
		})
	}
}

// throughProxies opens an engine on a cluster that reaches each server by a proxy, and
// returns what holds all of them up.
func throughProxies(tb testing.TB, servers []*servertest.Server, cfg redis.Config) (*redis.Engine, func() func()) {
	tb.Helper()
	to := make(map[string]string)
	var proxies []*servertest.Proxy
	o := &goredis.ClusterOptions{ContextTimeoutEnabled: true}
	for _, s := range servers {
		p := servertest.NewProxy(tb, s.URL)
		server, err := url.Parse(s.URL)
		require.NoError(tb, err)
		proxy, err := url.Parse(p.URL)
		require.NoError(tb, err)
		to[server.Host] = proxy.Host
		proxies, o.Addrs = append(proxies, p), append(o.Addrs, server.Host)
	}
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to[addr])
	}
	db := goredis.NewClusterClient(o)
	if cfg.Logger == nil {
		cfg.Logger = testLog(tb)
	}
	e, err := redis.New(context.Background(), db, cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		assert.NoError(tb, e.Close())
		assert.NoError(tb, db.Close())
	})
	return e, func() func() {
		var resumes []func()
		for _, p := range proxies {
			resumes = append(resumes, p.Pause())
		}
		return func() {
			for _, resume := range resumes {
				resume()
			}
		}
	}
}
