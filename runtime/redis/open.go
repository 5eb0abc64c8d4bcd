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
// server of that name. With "?addr=host2:6379&addr=host3:6379" it is that of
// redis.ParseClusterURL, for a Redis Cluster; one of its servers is enough, which
// tells the others' addresses. "hash_tag=" is Config.HashTag. An error shows no part
// of the URL. Close ends the connections.
//
// A server that falls silent, or becomes read-only after a failover, is left:
// the connections to it are closed, and made anew.
func Open(ctx context.Context, url string, cfg Config) (*Engine, error) {
	t, err := parseTarget(url, &cfg)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	db, all, err := t.connect(ctx, cfg.HashTag != "")
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	e, err := New(ctx, db, cfg)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e.owned, e.lines = true, all
	return e, nil
}

// target is what a URL names.
type target struct {
	url   string
	query url.Values
}

// parseTarget reads a URL, and from it the hash tag. It passes no error of the parsers
// on: they show pieces of the URL, and of a password that is not escaped.
func parseTarget(raw string, cfg *Config) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") || u.Fragment != "" {
		return nil, errURL
	}
	q := u.Query()
	if tag := q.Get("hash_tag"); q.Has("hash_tag") {
		if cfg.HashTag != "" && cfg.HashTag != tag {
			return nil, fmt.Errorf("the URL has the hash tag %q, and Config.HashTag is %q", tag, cfg.HashTag)
		}
		cfg.HashTag = tag
		q.Del("hash_tag")
		u.RawQuery = q.Encode()
		raw = u.String()
	}
	return &target{raw, q}, nil
}

// connect returns a client, and its connections.
func (t *target) connect(ctx context.Context, tagged bool) (redis.UniversalClient, *lines, error) {
	all := newLines()
	if t.query.Has("addr") && !t.query.Has("master_name") {
		db, err := t.cluster(all)
		return db, all, err
	}
	one, err := t.server()
	if err != nil {
		return nil, nil, err
	}
	one.AddHook(newConns(all))
	if n := shards(ctx, one); n > 1 || n == 1 && tagged {
		db, err := t.cluster(all)
		return db, all, errors.Join(err, one.Close())
	}
	return one, all, nil
}

// server returns a client of one server, or of the one that Sentinels name.
func (t *target) server() (*redis.Client, error) {
	if t.query.Has("master_name") {
		o, err := redis.ParseFailoverURL(t.url)
		if err != nil {
			return nil, errURL
		}
		o.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(o), nil
	}
	o, err := redis.ParseURL(t.url)
	if err != nil {
		return nil, errURL
	}
	o.ContextTimeoutEnabled = true
	return redis.NewClient(o), nil
}

// cluster returns a client of a Redis Cluster, which asks for its shards anew when one
// of them cannot be reached.
func (t *target) cluster(all *lines) (redis.UniversalClient, error) {
	u, err := url.Parse(t.url)
	if err != nil {
		return nil, errURL
	}
	q := u.Query()
	if number := strings.Trim(u.Path, "/") + q.Get("db"); strings.Trim(number, "0") != "" {
		return nil, errors.New("a Redis Cluster has the database 0 alone, and the URL names another")
	}
	q.Del("db")
	u.Path, u.RawQuery = "", q.Encode()
	o, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, errURL
	}
	o.ContextTimeoutEnabled = true
	db := redis.NewClusterClient(o)
	db.OnNewNode(func(c *redis.Client) { c.AddHook(newConns(all)) })
	db.AddHook(&reloads{db})
	return db, nil
}

var errURL = errors.New("the URL is none of Redis: write redis://user:password@host:6379/0, rediss:// for TLS, " +
	"and options that the client knows; in a user name or password escape %, /, ?, #, @, : and spaces " +
	"(as url.UserPassword does)")

// checkClient refuses clients on which an engine would lose tasks, and returns the hash
// tag of one on the others.
func checkClient(ctx context.Context, db redis.UniversalClient, tag string) (string, error) {
	switch db := db.(type) {
	case *redis.Ring:
		return "", fmt.Errorf("a Ring gives the keys of a server that is away to another, so that a task would be on one "+
			"and its queue on the other: %w", engine.ErrUnsupported)
	case *redis.ClusterClient:
		if o := db.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return "", fmt.Errorf("a client that reads from replicas (ReadOnly, RouteByLatency, RouteRandomly), "+
				"which do not have what was written just now: %w", engine.ErrUnsupported)
		}
		if tag != "" {
			return tag, nil
		}
		return DefaultHashTag, untagged(ctx, db)
	}
	if n := shards(ctx, db); n > 1 {
		return "", fmt.Errorf("the server is one of the %d shards of a Redis Cluster, and the client knows it alone: use "+
			"redis.NewClusterClient: %w", n, engine.ErrUnsupported)
	}
	return tag, nil
}

// untagged refuses a cluster on which workers are, or were lately, of an engine without a
// hash tag: it had one shard then, and their tasks would not be seen.
func untagged(ctx context.Context, db redis.UniversalClient) error {
	if n, err := db.Exists(ctx, newLayout("").ours+"workers").Result(); err != nil || n == 0 {
		return err
	}
	return errors.New("workers without a hash tag are on this Redis Cluster, or were in the last day, from when it had one shard: " +
		"move its keys to one server again, or set Config.HashTag, under which the engine begins without tasks")
}

// probe looks for missing permissions of the user that the engine needs, and whether
// there is a server.
func (e *Engine) probe(ctx context.Context) error {
	var err error
	if e.tag == "" {
		err = e.db.Ping(ctx).Err()
	} else {
		err = e.db.Exists(ctx, e.keys[0]).Err()
	}
	if err != nil {
		return err
	}
	err = e.db.Publish(ctx, e.newChannel, "").Err()
	if redis.HasErrorPrefix(err, "NOPERM") {
		return fmt.Errorf("the user may not use the channels that begin with %q, by which workers hear of tasks: "+
			"grant it with ACL SETUSER <user> &%s*: %w", e.ours, e.ours, err)
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
