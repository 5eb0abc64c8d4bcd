package pace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/internal/pace"
)

func at(seconds ...int) (times []time.Time) {
	for _, s := range seconds {
		times = append(times, time.Unix(int64(s), 0))
	}
	return times
}

func TestMost(t *testing.T) {
	assert.Zero(t, pace.Most(nil, time.Second))
	assert.Equal(t, 3, pace.Most(at(9, 0, 12, 10, 20), 10*time.Second), "times in no order; a window does not have its end")
	assert.Equal(t, 4, pace.Most(at(0, 9, 10, 12, 20), 12*time.Second))
}

func TestReached(t *testing.T) {
	assert.Zero(t, pace.Reached(nil, 2, time.Second))
	assert.Zero(t, pace.Reached(at(0, 1), 2, time.Second), "less than a lot")
	assert.InDelta(t, 1, pace.Reached(at(0, 5, 10, 15, 20), 2, 10*time.Second), 1e-9)
	assert.InDelta(t, 30.0/47, pace.Reached(at(0, 3, 10, 15, 20, 30, 40, 50), 2, 10*time.Second), 1e-9, "the last whole lots")
}
