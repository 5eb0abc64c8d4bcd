package life_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/runtime/internal/life"
)

type valueKey struct{}

func TestBound_EndsWithItsParentInTimeAndByEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), valueKey{}, 7))
		b := life.Bound(parent, time.Minute)
		defer b.End()
		assert.NoError(t, b.Err())
		assert.Equal(t, 7, b.Value(valueKey{}))
		at, ok := b.Deadline()
		assert.True(t, ok)
		assert.Equal(t, time.Now().Add(time.Minute), at)
		cancel(cause)
		assert.ErrorIs(t, b.Err(), context.Canceled)
		<-b.Done()
		assert.Equal(t, cause, context.Cause(b))
		assert.Equal(t, 7, b.Value(valueKey{}))

		late := life.Bound(t.Context(), time.Minute)
		defer late.End()
		time.Sleep(time.Minute)
		assert.ErrorIs(t, late.Err(), context.DeadlineExceeded, "without a look at Done before")

		ended := life.Bound(t.Context(), time.Minute)
		child, stop := context.WithCancel(ended)
		defer stop()
		ended.End()
		ended.End()
		<-child.Done()
		assert.ErrorIs(t, ended.Err(), context.Canceled)

		early, stopEarly := context.WithTimeout(t.Context(), time.Second)
		defer stopEarly()
		first := life.Bound(early, time.Minute)
		defer first.End()
		at, _ = first.Deadline()
		assert.Equal(t, time.Now().Add(time.Second), at)
	})
}

func TestOutlive_KeepsOnlyTheValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithTimeoutCause(context.WithValue(t.Context(), valueKey{}, 7), time.Second, errors.New("enough"))
		defer cancel()
		b, asked := life.Outlive(parent, time.Minute), life.Outlive(parent, time.Minute)
		defer b.End()
		defer asked.End()
		done := asked.Done()
		time.Sleep(time.Second)
		<-parent.Done()
		for _, b := range []*life.Bounded{b, asked} {
			assert.NoError(t, b.Err())
			assert.NoError(t, context.Cause(b))
			assert.Equal(t, 7, b.Value(valueKey{}))
			at, _ := b.Deadline()
			assert.Equal(t, time.Now().Add(59*time.Second), at)
		}
		<-done
		assert.ErrorIs(t, asked.Err(), context.DeadlineExceeded)
		assert.ErrorIs(t, b.Err(), context.DeadlineExceeded)
		assert.Equal(t, context.DeadlineExceeded, context.Cause(b))
	})
}
