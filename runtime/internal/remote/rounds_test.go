package remote

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("q", i)
	}
	return names
}

// TestRounds_LooksAtEachQueueOnce: a round has each queue once, some in each step, and
// then nothing is left.
func TestRounds_LooksAtEachQueueOnce(t *testing.T) {
	names := numbered(5*lotQueues + 3)
	r := newRounds(names)
	var seen []string
	for r.pending() {
		l := r.next()
		require.LessOrEqual(t, len(l.round), lotQueues)
		seen = append(seen, l.queues()...)
		r.looked(l, false)
	}
	slices.Sort(seen)
	want := slices.Sorted(slices.Values(names))
	assert.Equal(t, want, seen)
}

// TestRounds_NewsCostsOneQueue: between two rounds a step looks at the queues of
// which there is news, at no other, and again while there may be more.
func TestRounds_NewsCostsOneQueue(t *testing.T) {
	r := newRounds(numbered(1000))
	for r.pending() {
		r.looked(r.next(), false)
	}
	r.tell("q700")
	r.tell("q700")
	for _, more := range []bool{true, true, false} {
		require.True(t, r.pending())
		l := r.next()
		assert.Equal(t, []string{"q700"}, l.queues())
		r.looked(l, more)
	}
	assert.False(t, r.pending())
}

// TestRounds_NewsDuringAStepIsKept: what is told while a step looks is looked at by
// another.
func TestRounds_NewsDuringAStepIsKept(t *testing.T) {
	r := newRounds(numbered(200))
	for r.pending() {
		r.looked(r.next(), false)
	}
	r.tell("q1")
	l := r.next()
	r.tell("q1")
	r.looked(l, false)
	assert.True(t, r.pending())
}

// TestRounds_NewsDoesNotHoldUpOthers: while some queues never run dry, each queue
// comes among the first of a step.
func TestRounds_NewsDoesNotHoldUpOthers(t *testing.T) {
	names := numbered(1000)
	r := newRounds(names)
	seen := make(map[string]bool)
	for range 4 * len(names) {
		for _, q := range names[:2*lotQueues] {
			r.tell(q)
		}
		l := r.next()
		seen[l.queues()[0]] = true
		r.looked(l, true)
	}
	assert.Len(t, seen, len(names))
}
