package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Limiter = (*Engine)(nil)

// limitOf is a limit as the scripts read it.
type limitOf struct {
	Hash    string `json:"h"` // of its key
	Rule    string `json:"r"`
	Most    int    `json:"m"`
	Ordered bool   `json:"o,omitempty"`
	Spacing int64  `json:"p,omitempty"` // of a rate, in µs
	Per     string `json:"d,omitempty"` // of a rate, in ns
}

// ruleOf is a rule as it is stored.
func ruleOf(rule string) string { return strings.ToValidUTF8(rule, "\ufffd") }

// encodeLimits returns a message's limits in the form of limitPrelude, "" for none.
func encodeLimits(m *engine.Message) ([]byte, error) {
	if len(m.Limits) == 0 {
		return nil, nil
	}
	ls := make([]limitOf, len(m.Limits))
	for i, l := range m.Limits {
		h := sha256.Sum256([]byte(l.Key))
		ls[i] = limitOf{Hash: hex.EncodeToString(h[:16]), Rule: ruleOf(l.Rule), Most: max(l.Most, 1), Ordered: l.Ordered}
		if l.Per > 0 {
			ls[i].Spacing, ls[i].Per = max(l.Spacing().Microseconds(), 1), strconv.FormatInt(int64(l.Per), 10)
		}
	}
	b, err := json.Marshal(ls)
	if err != nil {
		return nil, fmt.Errorf("encode limits of %s: %w", m.Name, err)
	}
	return b, nil
}

// SetLimit implements [engine.Limiter]. It lets tasks of some keys in at a time.
func (e *Engine) SetLimit(ctx context.Context, rule string, most int) error {
	if err := e.closed(); err != nil {
		return err
	}
	rule = ruleOf(rule)
	var value any = ""
	if most >= 0 {
		value = most
	}
	if err := e.run(ctx, setLimitScript, rule, value).Err(); err != nil {
		return e.failed("set limit", err)
	}
	for after := ""; ; {
		next, err := e.run(ctx, letInScript, rule, after).Text()
		if err != nil {
			return e.failed("set limit", err)
		}
		if after = next; after == "" {
			e.workers.Nudge()
			return nil
		}
	}
}

// countedKeys is of how many keys one script counts the places.
const countedKeys = 1000

// Limits implements [engine.Limiter]. It asks for each key that has places, and looks
// at each run that counts under a rate.
func (e *Engine) Limits(ctx context.Context) ([]engine.LimitCount, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	of := make(map[string]engine.LimitCount)
	set, err := e.db.HGetAll(ctx, e.ours+"limits").Result()
	if err = spoilt(err); err != nil {
		return nil, e.failed("count limits", err)
	}
	for rule, most := range set {
		of[rule] = engine.LimitCount{Rule: rule, Set: number(most, -1)}
	}
	for after := ""; ; {
		answer, err := e.run(ctx, limitCountsScript, after, countedKeys).Slice()
		if err == nil && len(answer) < 2 {
			err = errAnswer
		}
		if err != nil {
			return nil, e.failed("count limits", err)
		}
		rows, _ := answer[1].([]any)
		for _, row := range rows {
			if r, ok := row.([]any); ok && len(r) >= 6 {
				addCount(of, r)
			}
		}
		if after = text(answer[0]); after == "" {
			break
		}
	}
	counts := make([]engine.LimitCount, 0, len(of))
	for _, c := range of {
		if c.Keys > 0 || c.Set >= 0 {
			counts = append(counts, c)
		}
	}
	return counts, nil
}

// addCount adds a row of limitCountsScript's answer.
func addCount(of map[string]engine.LimitCount, r []any) {
	rule := text(r[0])
	c := engine.LimitCount{Rule: rule, Set: number(text(r[1]), -1), Per: time.Duration(number(text(r[2]), 0))}
	if before, ok := of[rule]; ok {
		c.Keys, c.Held, c.Waiting = before.Keys, before.Held, before.Waiting
	}
	for i, n := range []*int{&c.Keys, &c.Held, &c.Waiting} {
		v, _ := r[3+i].(int64)
		*n += int(v)
	}
	of[rule] = c
}

func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return otherwise
}

// leavePaused gives up the places of ready tasks that are paused.
func (e *Engine) leavePaused(ctx context.Context, p engine.Pause) error {
	queues := []string{p.Queue}
	if p.Queue == "" {
		all, err := e.allQueues(ctx)
		if err != nil {
			return err
		}
		queues = all
	}
	for _, q := range queues {
		for cursor := "0"; ; {
			next, err := e.run(ctx, leavePausedScript, q, p.Name, cursor).Text()
			if err != nil {
				return err
			}
			if cursor = next; cursor == "0" {
				break
			}
		}
	}
	return nil
}

const (
	sweepKeys = 200 // keys of a lot
	sweepLots = 25  // lots of one time: there may be many keys
)

// limits lets in what waits for rates whose time has come, after left µs as a script
// before has said, and looks at places that somebody did not give up. It returns how
// long it takes until there is more to do, negative if there is nothing.
func (s *serve) limits(ctx context.Context, left time.Duration, now time.Time) (next time.Duration, err error) {
	if left == 0 {
		answer, err := s.e.run(ctx, openRatesScript).Text()
		if err != nil {
			return -1, fmt.Errorf("let tasks in that wait for a rate: %w", err)
		}
		left = untilRoomOf(answer)
	}
	every := max(s.e.cfg.Lease, 100*time.Millisecond)
	first := s.swept == 0
	if first && now.Sub(s.sweptAt) < every && now.After(s.sweptAt) {
		return left, nil
	}
	var alone any = ""
	if first {
		alone, s.sweptAt = every.Milliseconds(), now
	}
	more, err := s.e.run(ctx, sweepPlacesScript, alone, sweepKeys).Int()
	if err != nil {
		return left, fmt.Errorf("look at the places of limits: %w", err)
	}
	if s.swept++; more == 2 {
		s.swept = 1 // else there might be more and more to forget
	}
	if more == 0 || s.swept >= sweepLots {
		s.swept = 0
		return left, nil
	}
	return cleanPause, nil
}

// untilRoomOf reads an answer of untilRoom; it is negative for none.
func untilRoomOf(v any) time.Duration {
	us, err := strconv.ParseInt(text(v), 10, 64)
	if err != nil {
		return -1
	}
	return time.Duration(us) * time.Microsecond
}

// rated reports whether a task may have to wait for a rate again after the outcome.
func rated(o *outcome) bool {
	return o.Kind != engine.OutcomeSucceed && slices.ContainsFunc(o.Of.Message.Limits, func(l engine.Limit) bool { return l.Per > 0 })
}
