package runtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// LimitBy bounds how many tasks run at a time for each value of a parameter.
type LimitBy struct {
	Param string
	Most  int
}

// WithLimit bounds how many tasks with the key run at a time to n, in all
// processes and of all names, beside the limits of their annotations. Each
// task goes by its own n, until [App.SetLimit] sets one for the rule "key:"
// and the key. It may be given several times, with different keys. On an
// engine without limits the enqueue fails with [ErrUnsupported].
func WithLimit(key string, n int) Option {
	return func(s *settings) {
		switch {
		case key == "" || !storable(key):
			s.fail("WithLimit(%q, %d): not a key", key, n)
			return
		case n < 1:
			s.fail("WithLimit(%q, %d): it must be positive", key, n)
			return
		}
		rule := keyRule + key
		s.m.Limits = slices.DeleteFunc(slices.Clone(s.m.Limits), func(l engine.Limit) bool { return l.Rule == rule })
		s.m.Limits = append(s.m.Limits, engine.Limit{Rule: rule, Key: rule, Most: n})
	}
}

// keyRule begins the rules of WithLimit, which no name of a task does.
const keyRule = "key:"

// limited reports whether the task's annotation limits it.
func (s *Spec) limited() bool { return s.Limit > 0 || len(s.LimitBy) > 0 || s.OrderBy != "" }

// LimitRule is the rule of a task's limit= for [App.SetLimit], or with the name of
// a parameter that of its limitby=.
func LimitRule(task, param string) string {
	if param == "" {
		return task + " limit"
	}
	return task + " limitby=" + param
}

// errNoLimits is the error of a task with limits on an engine that has none.
var errNoLimits = fmt.Errorf("limits: %w", engine.ErrUnsupported)

// limits are the engine's, or nil.
func (a *App) limits() engine.Limiter {
	l, _ := engine.As[engine.Limiter](a.engine)
	return l
}

// limit adds the limits of the task's annotation to those of the message's options,
// in the order in which every task takes them: in order first, then by key, by
// value and by task.
func (a *App) limit(m *engine.Message, s *Definition) error {
	if a.limits() == nil {
		return errNoLimits
	}
	m.Meta.Version = max(m.Meta.Version, engine.WireLimited)
	ls := m.Limits
	slices.SortFunc(ls, func(x, y engine.Limit) int { return cmp.Compare(x.Key, y.Key) })
	var args map[string]json.RawMessage
	if s.OrderBy != "" || len(s.LimitBy) > 0 {
		if err := json.Unmarshal(m.Args, &args); err != nil {
			return fmt.Errorf("limits: read the arguments: %w", err)
		}
	}
	if s.OrderBy != "" {
		rule := s.Name + " orderby=" + s.OrderBy
		key, err := a.limitKey(rule, args[s.OrderBy])
		if err != nil {
			return err
		}
		ls = append([]engine.Limit{{Rule: rule, Key: key, Most: 1, Ordered: true}}, ls...)
	}
	for _, by := range s.LimitBy {
		rule := LimitRule(s.Name, by.Param)
		key, err := a.limitKey(rule, args[by.Param])
		if err != nil {
			return err
		}
		ls = append(ls, engine.Limit{Rule: rule, Key: key, Most: by.Most})
	}
	if s.Limit > 0 {
		rule := LimitRule(s.Name, "")
		ls = append(ls, engine.Limit{Rule: rule, Key: rule, Most: s.Limit})
	}
	m.Limits = ls
	return nil
}

// limitKey is the key of a rule for one value: its hash, by the codec's key if it
// has one, so that the engine does not learn the value.
func (a *App) limitKey(rule string, value json.RawMessage) (string, error) {
	text := append([]byte(rule+"\x00"), value...)
	hasher, ok := a.cfg.Codec.(KeyHasher)
	if !ok {
		sum := sha256.Sum256(text)
		return rule + " " + hex.EncodeToString(sum[:16]), nil
	}
	var sum []byte
	if err := guard.Call(func() error { sum = hasher.HashKey(text); return nil }); err != nil {
		return "", fmt.Errorf("codec: %w", err)
	}
	return rule + " " + hex.EncodeToString(sum), nil
}

// SetLimit sets how many tasks run at a time under a rule, for all processes,
// from now on. The rule is [LimitRule] of a task, or "key:" and a key of
// [WithLimit]. 0 lets none begin; a negative number goes back to the
// annotations and options. Running tasks go on. On an engine without limits it
// is [ErrUnsupported].
func (a *App) SetLimit(ctx context.Context, rule string, n int) error {
	l := a.limits()
	if l == nil {
		return errNoLimits
	}
	if err := l.SetLimit(ctx, rule, n); err != nil {
		return fmt.Errorf("set limit %q: %w", rule, err)
	}
	return nil
}

// Limits returns how many tasks are under each rule, by the name of the rule.
func (a *App) Limits(ctx context.Context) ([]engine.LimitCount, error) {
	l := a.limits()
	if l == nil {
		return nil, errNoLimits
	}
	counts, err := l.Limits(ctx)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	slices.SortFunc(counts, func(x, y engine.LimitCount) int { return cmp.Compare(x.Rule, y.Rule) })
	return counts, nil
}
