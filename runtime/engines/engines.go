// Package engines opens an engine by its URL, for commands and examples that
// let their user choose. It imports every engine: a program with one known
// engine should import that one alone.
package engines

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/redis"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// Scheme is one kind of engine URL.
type Scheme struct {
	Name    string // the part before the colon
	Example string // empty for a synonym of another
	Help    string
	open    func(ctx context.Context, url string, existing bool) (engine.Engine, error)
}

var schemes = []Scheme{
	{
		Name: "memory", Example: "memory:", Help: "this process only, lost when it ends",
		open: func(context.Context, string, bool) (engine.Engine, error) {
			return memory.New(memory.Config{Wait: true}), nil
		},
	},
	{
		Name: "sqlite", Example: "sqlite:tasks.db", Help: "one file, for the processes of one machine",
		open: openSQLite,
	},
	{
		Name: "postgres", Example: "postgres://user@host/database", Help: "Postgres, in River's tables",
		open: openPostgres,
	},
	{Name: "postgresql", open: openPostgres},
	{
		Name: "redis", Example: "redis://host:6379/0", Help: "Redis, as asynq keeps tasks (rediss:// with TLS)",
		open: openRedis,
	},
	{Name: "rediss", open: openRedis},
}

func openSQLite(_ context.Context, url string, existing bool) (engine.Engine, error) {
	path := strings.TrimPrefix(url, "sqlite:")
	switch {
	case path == "":
		return nil, errors.New("the URL names no file: write sqlite:tasks.db")
	case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"): // a host, for what it looks like
		return nil, fmt.Errorf("a file has no host: write sqlite:%s", path[2:])
	}
	return opened(sqlite.Open(path, sqlite.Config{Existing: existing}))
}

func openPostgres(ctx context.Context, url string, existing bool) (engine.Engine, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	var cfg postgres.Config
	if existing {
		cfg.Migrations = postgres.MigrationsCheck
	}
	return opened(postgres.Open(ctx, url, cfg))
}

func openRedis(ctx context.Context, url string, _ bool) (engine.Engine, error) {
	return opened(redis.Open(ctx, url, redis.Config{}))
}

// opened turns the nil of an engine that did not open into a nil Engine.
func opened[E engine.Engine](e E, err error) (engine.Engine, error) {
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Schemes returns the kinds of URL that Open knows, without synonyms.
func Schemes() []Scheme {
	return slices.DeleteFunc(slices.Clone(schemes), func(s Scheme) bool { return s.Example == "" })
}

// Open opens the engine that the URL names. The caller closes it. ctx bounds
// the opening only.
func Open(ctx context.Context, url string) (engine.Engine, error) {
	return open(ctx, url, false)
}

// OpenExisting is Open for programs that only look at existing tasks: it
// creates no file and no table, and fails where there are none.
func OpenExisting(ctx context.Context, url string) (engine.Engine, error) {
	return open(ctx, url, true)
}

func open(ctx context.Context, url string, existing bool) (engine.Engine, error) {
	name, _, ok := strings.Cut(url, ":")
	if ok {
		for _, s := range schemes {
			if s.Name == name {
				e, err := s.open(ctx, url, existing)
				if err != nil {
					return nil, fmt.Errorf("open engine %s: %w", name, err)
				}
				return e, nil
			}
		}
	}
	var known []string
	for _, s := range Schemes() {
		known = append(known, s.Example)
	}
	return nil, fmt.Errorf("unknown engine %q: it must be one of %s", shown(url), strings.Join(known, ", "))
}

// scheme matches a possible scheme of a URL.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)

// shown returns the part of an unreadable URL that may stand in an error: its
// scheme. The rest may hold a password anywhere.
func shown(url string) string {
	name, rest, ok := strings.Cut(url, ":")
	switch {
	case !ok && !strings.ContainsAny(url, "@=/ "):
		return url // a word
	case !ok || !scheme.MatchString(name):
		return "..."
	case rest == "":
		return name + ":"
	}
	return name + ":..."
}

// checkURL refuses a URL that parsers may cut at the wrong place, as at an
// unescaped password: they quote the pieces in their errors.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return errors.New("the URL cannot be read; in a user name or password escape %, /, ?, #, @, : and spaces " +
			"(as url.UserPassword does)")
	}
	return nil
}
