package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/web"
)

// Causes say how many of their tasks ended when, and the page draws it.
func TestCauses_OverTime(t *testing.T) {
	e := newHostile(t, "card 17 was declined")
	now := time.Now()
	failed := e.entries[6]
	require.Equal(t, engine.StateFailed, failed.State)
	e.entries = nil
	for i := range 40 {
		own := *failed
		own.EndedAt = now.Add(-time.Duration(i*i) * time.Minute) // 25 hours and a half
		if i%4 == 0 {
			own.Reason = "panic: no template"
		}
		e.entries = append(e.entries, &own)
	}
	s := serve(t, runtime.New(e, runtime.Config{Logger: silent}), web.Config{})
	type over struct {
		Step   int `json:"step_s"`
		Counts []int
	}
	out := read[struct {
		Over   over
		Causes []struct {
			Reason string
			Tasks  int
			Over   over
		}
	}](t, s.get("api/causes"))
	sum := func(counts []int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	assert.Equal(t, 3600, out.Over.Step)
	assert.Equal(t, 40, sum(out.Over.Counts))
	assert.Greater(t, out.Over.Counts[len(out.Over.Counts)-1]+out.Over.Counts[len(out.Over.Counts)-2], 7, "the newest are the last")
	require.Len(t, out.Causes, 2)
	assert.Equal(t, "^card * was declined$", out.Causes[0].Reason)
	assert.Equal(t, 30, sum(out.Causes[0].Over.Counts))
	assert.Equal(t, 10, sum(out.Causes[1].Over.Counts))
	page := s.get("failed").text
	assert.Contains(t, page, `role="img" aria-label="40 failures since `)
	assert.Contains(t, page, `role="img" aria-label="30 tasks since `)
}

// TestCauses_WhatIsAlike: ids, numbers and quoted texts are not part of a cause, a
// status is.
func TestCauses_WhatIsAlike(t *testing.T) {
	for reason, want := range map[string]string{
		`smtp: 550 mailbox "ann@example.com" is gone`:   "^smtp: 550 mailbox * is gone$",
		"HTTP/1.1 503 from 10.0.0.7:8080":               "^HTTP/1.1 503 from *$",
		"Status Code: 404, error=500; error 7":          "^Status Code: 404, error=500; error *$",
		"order 4f1c-9a2b at 0xc000123 is late by 1.5s":  "^order * at * is late by *$",
		"take 'a' or `b`, not \"c\"":                    "^take * or *, not *$",
		`an open "quote of 7`:                           `^an open "quote of *$`,
		"well-known x-error 500.":                       "^well-known x-error 500.$",
		"5 * 6 ** 7":                                    "^* * * * *$",
		"größe 12é":                                     "^größe *é$",
		"status 4040 code 99 http/ 404":                 "^status * code * http/ *$",
		"  done\nand more ":                             "^done$",
		"":                                              "^$",
		strings.Repeat("a very long reason ", 20) + "1": "^" + strings.Repeat("a very long reason ", 8) + "a very l*$",
	} {
		e := newHostile(t, "x")
		failed := e.entries[6]
		failed.Reason = reason
		e.entries = []*engine.Entry{failed}
		s := serve(t, runtime.New(e, runtime.Config{Logger: silent}), web.Config{})
		out := read[struct{ Causes []struct{ Reason string } }](t, s.get("api/causes"))
		require.Len(t, out.Causes, 1)
		assert.Equal(t, want, out.Causes[0].Reason, "%q", reason)
	}
}
