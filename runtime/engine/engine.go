// Package engine opens an engine by its URL, for commands and examples that
// let their user choose. It imports every engine: a program that knows which
// one it uses should import that one alone.
package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Scheme is one kind of engine URL.
type Scheme struct {
	Name    string // what stands before the colon
	Example string
	Help    string
	open    func(ctx context.Context, url string) (runtime.Engine, error)
}

var schemes = []Scheme{
	{
		Name: "memory", Example: "memory:", Help: "this process only, lost when it ends",
		open: func(context.Context, string) (runtime.Engine, error) { return memory.New(memory.WithWait()), nil },
	},
}

// Schemes returns the kinds of URL that Open knows. The caller must not change
// them.
func Schemes() []Scheme { return schemes }

// Open opens the engine that the URL names. The caller closes it. ctx bounds
// the opening only.
func Open(ctx context.Context, url string) (runtime.Engine, error) {
	name, _, ok := strings.Cut(url, ":")
	if ok {
		for _, s := range schemes {
			if s.Name == name {
				e, err := s.open(ctx, url)
				if err != nil {
					return nil, fmt.Errorf("open engine %s: %w", name, err)
				}
				return e, nil
			}
		}
	}
	known := make([]string, len(schemes))
	for i, s := range schemes {
		known[i] = s.Example
	}
	return nil, fmt.Errorf("unknown engine %q: it must be one of %s", withoutPassword(url), strings.Join(known, ", "))
}

// withoutPassword is what of a URL may stand in an error.
func withoutPassword(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "..." + rest[at:]
	}
	return scheme + "://" + rest
}
