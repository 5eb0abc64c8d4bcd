package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Open connects to the database of url, in the form of redis.ParseURL
// ("redis://user:password@host:6379/0", "rediss://" for TLS), and returns an
// engine on it. With "?master_name=" the form is that of
// redis.ParseFailoverURL: the hosts are Sentinels, which are asked for the
// server of that name. An error shows no part of the URL. Close ends the
// connections.
//
// A server that falls silent, or becomes read-only after a failover, is left:
// the connections to it are closed, and made anew.
func Open(ctx context.Context, url string, cfg Config) (*Engine, error) {
	db, err := connect(url)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	cs := &conns{all: make(map[*conn]struct{})}
	db.AddHook(cs)
	e, err := New(ctx, db, cfg)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e.owned, e.conns = true, cs
	return e, nil
}

// connect returns a client of the server that a URL names. It passes no error
// of the parsers on: they show pieces of the URL, and of a password that is
// not escaped.
func connect(raw string) (*redis.Client, error) {
	u, err := url.Parse(raw)
	if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") || u.Fragment != "" {
		return nil, errURL
	}
	if u.Query().Has("master_name") {
		o, err := redis.ParseFailoverURL(raw)
		if err != nil {
			return nil, errURL
		}
		o.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(o), nil
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, errURL
	}
	o.ContextTimeoutEnabled = true
	return redis.NewClient(o), nil
}

var errURL = errors.New("the URL is none of Redis: write redis://user:password@host:6379/0, rediss:// for TLS, " +
	"and options that the client knows; in a user name or password escape %, /, ?, #, @, : and spaces " +
	"(as url.UserPassword does)")

// probe looks for missing permissions of the user that the engine needs.
func probe(ctx context.Context, db redis.UniversalClient) error {
	if err := db.Ping(ctx).Err(); err != nil {
		return err
	}
	if n := shards(ctx, db); n > 1 {
		return fmt.Errorf("the server is one of the %d shards of a Redis Cluster, and one step of the engine may touch "+
			"queues of several (docs/decisions/0011-redis-cluster.md): %w", n, engine.ErrUnsupported)
	}
	err := db.Publish(ctx, newChannel, "").Err()
	if redis.HasErrorPrefix(err, "NOPERM") {
		return fmt.Errorf("the user may not use the channels that begin with %q, by which workers hear of tasks: "+
			"grant it with ACL SETUSER <user> &%s*: %w", channelPrefix, channelPrefix, err)
	}
	return err
}

// shards returns among how many servers a Redis Cluster has divided its keys, 0 if
// the server is of no cluster or does not tell.
func shards(ctx context.Context, db redis.UniversalClient) int {
	info, err := db.ClusterInfo(ctx).Result()
	if err != nil {
		return 0
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster_size:"); ok {
			size, _ := strconv.Atoi(n) // 0 if it is none
			return size
		}
	}
	return 0
}
