package runtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

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
		s.limit(engine.Limit{Rule: keyRule + key, Key: keyRule + key, Most: n})
	}
}

// WithRate bounds how many runs of tasks with the key begin to n in any time as
// long as per, in all processes and of all names, beside the rates of their
// annotations. n is at most 10,000. The first run of a task counts, and each
// further one. [App.SetLimit] sets another n for the rule "rate:" and the key. The
// option may be given several times, with different keys. On an engine without
// rates the enqueue fails with [ErrUnsupported].
func WithRate(key string, n int, per time.Duration) Option {
	return func(s *settings) {
		switch {
		case key == "" || !storable(key):
			s.fail("WithRate(%q, %d, %s): not a key", key, n, per)
			return
		case n < 1 || n > engine.MaxRate:
			s.fail("WithRate(%q, %d, %s): it must be from 1 to %d", key, n, per, engine.MaxRate)
			return
		case per <= 0 || per > maxPer:
			s.fail("WithRate(%q, %d, %s): the time must be positive, and at most %s", key, n, per, maxPer)
			return
		}
		s.limit(engine.Limit{Rule: rateRule + key, Key: rateRule + key, Most: n, Per: per})
	}
}

// limit adds a limit, in the place of one by the same rule.
func (s *settings) limit(l engine.Limit) {
	s.m.Limits = slices.DeleteFunc(slices.Clone(s.m.Limits), func(o engine.Limit) bool { return l.Rule == o.Rule })
	s.m.Limits = append(s.m.Limits, l)
}

// keyRule begins the rules of WithLimit, and rateRule those of WithRate: no name of a
// task does.
const (
	keyRule  = "key:"
	rateRule = "rate:"
)

// maxPer is the longest time of a rate.
const maxPer = 366 * 24 * time.Hour

// limited reports whether the task's annotation limits it.
func limited(s *wire.Spec) bool {
	return s.Limit > 0 || len(s.LimitBy) > 0 || s.OrderBy != "" || rated(s)
}

// rated reports whether the task's annotation has rates.
func rated(s *wire.Spec) bool { return s.Rate.N > 0 || len(s.RateBy) > 0 }

// isRate reports whether the rule is of a rate.
func isRate(rule string) bool {
	switch {
	case strings.HasPrefix(rule, keyRule):
		return false
	case strings.HasPrefix(rule, rateRule):
		return true
	}
	_, what, _ := strings.Cut(rule, " ") // no name of a task has a space
	return what == "rate" || strings.HasPrefix(what, "rateby=")
}

// isRule reports whether tasks can have limits by such a rule, which may be set.
func isRule(rule string) bool {
	for _, of := range []string{keyRule, rateRule} {
		if key, ok := strings.CutPrefix(rule, of); ok {
			return key != "" && storable(rule)
		}
	}
	task, what, _ := strings.Cut(rule, " ")
	param, by := strings.CutPrefix(what, "limitby=")
	if !by {
		param, by = strings.CutPrefix(what, "rateby=")
	}
	return task != "" && storable(rule) && (what == "limit" || what == "rate" || by && param != "")
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
// value and by task, and of each the rates first, so that what waits for a rate
// holds no place that others could run in.
func (a *App) limit(m *engine.Message, s *wire.Definition) error {
	if a.limits() == nil {
		return errNoLimits
	}
	m.Meta.Version = max(m.Meta.Version, engine.WireLimited)
	ls := m.Limits
	slices.SortFunc(ls, func(x, y engine.Limit) int { return cmp.Compare(x.Key, y.Key) })
	if limited(&s.Spec) {
		own, err := a.ownLimits(m, s)
		if err != nil {
			return err
		}
		n := 0
		if s.OrderBy != "" {
			n = 1
		}
		ls = slices.Insert(own, n, ls...)
	}
	if slices.ContainsFunc(ls, func(l engine.Limit) bool { return l.Per > 0 }) {
		m.Meta.Version = max(m.Meta.Version, engine.WireRated)
	}
	m.Limits = ls
	return nil
}

// ownLimits are those of the task's annotation, in order.
func (a *App) ownLimits(m *engine.Message, s *wire.Definition) (ls []engine.Limit, err error) {
	var args map[string]json.RawMessage
	if s.OrderBy != "" || len(s.LimitBy) > 0 || len(s.RateBy) > 0 {
		if err := json.Unmarshal(m.Args, &args); err != nil {
			return nil, fmt.Errorf("limits: read the arguments: %w", err)
		}
	}
	add := func(l engine.Limit, param string) {
		if err != nil {
			return
		}
		if l.Key = l.Rule; param != "" {
			l.Key, err = a.limitKey(l.Rule, args[param])
		}
		ls = append(ls, l)
	}
	if s.OrderBy != "" {
		add(engine.Limit{Rule: s.Name + " orderby=" + s.OrderBy, Most: 1, Ordered: true}, s.OrderBy)
	}
	for _, by := range s.RateBy {
		add(engine.Limit{Rule: engine.RateRule(s.Name, by.Param), Most: by.N, Per: by.Per}, by.Param)
	}
	for _, by := range s.LimitBy {
		add(engine.Limit{Rule: engine.LimitRule(s.Name, by.Param), Most: by.Most}, by.Param)
	}
	if s.Rate.N > 0 {
		add(engine.Limit{Rule: engine.RateRule(s.Name, ""), Most: s.Rate.N, Per: s.Rate.Per}, "")
	}
	if s.Limit > 0 {
		add(engine.Limit{Rule: engine.LimitRule(s.Name, ""), Most: s.Limit}, "")
	}
	return ls, err
}

// limitKey is the key of a rule for one value: its hash, by the codec's key if it
// has one, so that the engine does not learn the value.
func (a *App) limitKey(rule string, value json.RawMessage) (string, error) {
	text := append([]byte(rule+"\x00"), value...)
	hasher, ok := a.cfg.Codec.(hook.KeyHasher)
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
// from now on. The rule is [engine.LimitRule] of a task, or "key:" and a key of
// [WithLimit]; with [engine.RateRule], or "rate:" and a key of [WithRate], n is how many
// begin in the time of the rate, at most 10,000. 0 lets none begin; a negative
// number goes back to the annotations and options. Running tasks go on. On an
// engine without limits it is [ErrUnsupported].
func (a *App) SetLimit(ctx context.Context, rule string, n int) error {
	l := a.limits()
	if l == nil {
		return errNoLimits
	}
	if !isRule(rule) {
		return fmt.Errorf("set limit %q: not a rule: want that of engine.LimitRule or RateRule, such as %q, or %q or %q and a key",
			rule, engine.LimitRule("sync.Sync", "customer"), keyRule, rateRule)
	}
	if isRate(rule) && n > engine.MaxRate {
		return fmt.Errorf("set limit %q to %d: a rate is at most %d", rule, n, engine.MaxRate)
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
