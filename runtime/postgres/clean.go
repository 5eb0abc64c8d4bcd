package postgres

import (
	"context"
	"fmt"
	"time"
)

// cleaning forgets expired records, a lot at a time. Forgotten ones stay in
// the index for a time, or for long beside an old snapshot. So it goes on
// where it was, and begins at the beginning only now and then.
type cleaning struct {
	s *serve
	// from and before are the range of the index: before is to be added to now.
	from, before float64
	lots         lots
	at           float64   // its place in the index
	whole        time.Time // when it begins at the beginning
	done         bool      // a pass has ended
}

const (
	// wholeEvery is how often it begins at the beginning, slackSeconds how far
	// before the end of the last pass otherwise.
	wholeEvery   = time.Hour
	slackSeconds = 300
)

func (s *serve) newCleaning(from, before float64) *cleaning {
	return &cleaning{
		s: s, from: from, before: before, at: from,
		lots: lots{doing: "forget records", sql: s.e.sql.clean, most: cleanLot},
	}
}

// cleanLot is how many records are forgotten with one statement.
const cleanLot = 500

// records forgets records.
func (c *cleaning) records(ctx context.Context) (bool, error) {
	var gone int
	var last, now float64
	args := []any{c.start(), c.before}
	more, err := c.s.do(ctx, &c.lots, args, func(limit int, pass []int64) (int, error) {
		err := c.s.e.steered(ctx, c.s.e.sql.clean.all, append(args, pass, limit), func(scan func(...any) error) error {
			return scan(&gone, &last, &now)
		})
		return gone, err
	})
	c.goOn(more, gone, last, now, err)
	return more, err
}

// keys forgets keys.
func (c *cleaning) keys(ctx context.Context) (bool, error) {
	var seen int
	var last, now float64
	if err := c.s.e.row(ctx, c.s.e.sql.cleanKeys, []any{c.start(), lotSize}, &seen, &last, &now); err != nil {
		c.goOn(false, 0, 0, 0, err)
		return false, fmt.Errorf("forget keys: %w", err)
	}
	more := seen == lotSize
	c.goOn(more, seen, last, now, nil)
	return more, nil
}

// start returns where the lot begins.
func (c *cleaning) start() float64 {
	if c.done && time.Now().After(c.whole) {
		c.at = c.from
	}
	if c.at <= c.from {
		c.whole = time.Now().Add(wholeEvery)
	}
	c.done = false
	return c.at
}

// goOn notes where the next lot begins.
func (c *cleaning) goOn(more bool, n int, last, now float64, err error) {
	switch {
	case err != nil: // from the beginning it may take too long
		if c.at <= c.from {
			c.at = c.before + float64(time.Now().Unix()) - slackSeconds
		}
		c.done = true
	case more && n > 0:
		c.at = max(c.at, last)
	case !more:
		c.at, c.done = max(c.from, c.before+now-slackSeconds), true
	}
}
