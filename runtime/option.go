package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"
	"unicode/utf8"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Option changes how one call is enqueued. A later option wins over an earlier
// one. An invalid value is an error from Enqueue, which is [ErrOption].
type Option func(*settings)

// optionError is an error about an option.
type optionError struct{ error }

func (e optionError) Unwrap() error { return e.error }

func (optionError) Is(target error) bool { return target == ErrOption }

// settings are the options of one call on their way into its message.
type settings struct {
	m      *engine.Message
	now    time.Time
	unique bool // the key is made of the arguments
	tagged bool // m's tags are its own
	errs   []error
}

func (s *settings) fail(format string, args ...any) {
	s.errs = append(s.errs, optionError{fmt.Errorf(format, args...)})
}

// WithTag sets a tag. The task's default tags stay, unless they have this key.
func WithTag(key, value string) Option {
	return func(s *settings) {
		switch {
		case key == "":
			s.fail("WithTag: the key is empty")
			return
		case !storable(key) || !storable(value):
			s.fail("WithTag(%q): tags must be valid UTF-8 without NUL bytes", key)
			return
		}
		if !s.tagged {
			s.m.Meta.Tags, s.tagged = maps.Clone(s.m.Meta.Tags), true
		}
		if s.m.Meta.Tags == nil {
			s.m.Meta.Tags = make(map[string]string)
		}
		s.m.Meta.Tags[key] = value
	}
}

// WithQueue enqueues in another queue.
func WithQueue(name string) Option {
	return func(s *settings) {
		if name == "" || !storable(name) {
			s.fail("WithQueue(%q): not a name", name)
		}
		s.m.Queue = name
	}
}

// WithDelay makes the task due after d.
func WithDelay(d time.Duration) Option {
	return func(s *settings) {
		if d < 0 {
			s.fail("WithDelay(%s): it must not be negative", d)
		}
		s.m.Due = time.Time{}
		if d > 0 {
			s.m.Due = s.now.Add(d)
		}
	}
}

// lastYear is the last year that RFC 3339, and so every engine, can write.
const lastYear = 9999

// WithDue makes the task due at t; a t in the past is now.
func WithDue(t time.Time) Option {
	return func(s *settings) {
		if t.UTC().Year() > lastYear {
			s.fail("WithDue(%s): the year must be at most %d", t, lastYear)
		}
		s.m.Due = time.Time{}
		if t.After(s.now) {
			s.m.Due = t.Round(0).UTC()
		}
	}
}

// WithPriority sets the priority, from 0 to 3, higher first.
func WithPriority(p int) Option {
	return func(s *settings) {
		if p < 0 || p >= engine.Priorities {
			s.fail("WithPriority(%d): it must be from 0 to 3", p)
		}
		s.m.Priority = priorityOf(p)
	}
}

// WithRetries sets how many retries follow the first run, at most.
func WithRetries(n int) Option {
	return func(s *settings) {
		if n < 0 {
			s.fail("WithRetries(%d): it must not be negative", n)
		}
		s.m.Meta.Retries = n
	}
}

// WithTimeout limits each attempt to d.
func WithTimeout(d time.Duration) Option {
	return func(s *settings) {
		if d <= 0 {
			s.fail("WithTimeout(%s): it must be positive", d)
		}
		s.m.Meta.Timeout = d
	}
}

// WithBackoff sets how long this task waits before its retries, instead of its
// annotation: delay before the first, then factor times longer each time, at
// most limit. A delay of zero retries at once; a limit of zero is
// [wire.DefaultMaxDelay].
func WithBackoff(delay time.Duration, factor float64, limit time.Duration) Option {
	return func(s *settings) {
		if delay < 0 || limit < 0 || !(factor >= 1) || math.IsInf(factor, 0) {
			s.fail("WithBackoff(%s, %v, %s): the times must not be negative, and the factor at least 1", delay, factor, limit)
			return
		}
		b, err := json.Marshal(callBackoff{delay, factor, limit})
		if err != nil {
			s.fail("WithBackoff(%s, %v, %s): %w", delay, factor, limit, err)
			return
		}
		headers := maps.Clone(s.m.Meta.Headers)
		if headers == nil {
			headers = make(map[string]string, 1)
		}
		headers[backoffHeader] = string(b)
		s.m.Meta.Headers = headers
	}
}

// WithDeadline says when the task stops being useful: a run then ends, and a
// task that has not begun fails.
func WithDeadline(t time.Time) Option {
	return func(s *settings) {
		switch year := t.UTC().Year(); {
		case t.IsZero():
			s.fail("WithDeadline: the time is zero")
		case year < 0 || year > lastYear:
			s.fail("WithDeadline(%s): the year must be from 0 to %d", t, lastYear)
		}
		s.m.Meta.Deadline = t.Round(0).UTC()
	}
}

// WithKey makes the task the only one of the key for d from now: until then
// another call with the key returns this task. When the task fails, is
// cancelled or is deleted, the key is free at once.
func WithKey(key string, d time.Duration) Option {
	return func(s *settings) {
		if d <= 0 {
			s.fail("WithKey(%q, %s): the time must be over zero", key, d)
		}
		s.hold("WithKey", key, engine.HoldTime, d)
	}
}

// WithActiveKey makes the task the only one of the key until it has ended:
// another call with the key returns this task.
func WithActiveKey(key string) Option {
	return func(s *settings) { s.hold("WithActiveKey", key, engine.HoldActive, 0) }
}

// WithWaitingKey makes the task the only one of the key until it first begins:
// another call with the key returns this task.
func WithWaitingKey(key string) Option {
	return func(s *settings) { s.hold("WithWaitingKey", key, engine.HoldWaiting, 0) }
}

// WithReplace makes another call with the task's key, while the task still waits,
// take its place: the last arguments win, and the task becomes due when the last call
// says, as with WithDelay. It implies the rule of [WithWaitingKey], whatever gave the
// key. So a burst of calls is one run, after the burst; bound how long that waits
// with [WithReplaceFor]. The handle is that of the task that waited.
func WithReplace() Option {
	return func(s *settings) { s.m.Replace = true }
}

// WithReplaceFor is [WithReplace] for at most d after the first call: the task is
// due by then, however many calls follow.
func WithReplaceFor(d time.Duration) Option {
	return func(s *settings) {
		if d <= 0 {
			s.fail("WithReplaceFor(%s): it must be positive", d)
		}
		s.m.Replace, s.m.ReplaceFor = true, d
	}
}

// withTickKey is WithKey for the tick of a schedule.
func withTickKey(key string, d time.Duration) Option {
	return func(s *settings) { s.hold("Every", key, engine.HoldTick, d) }
}

func (s *settings) hold(option, key string, hold engine.KeyHold, d time.Duration) {
	if key == "" || !storable(key) {
		s.fail("%s(%q): not a key", option, key)
	}
	s.m.Key, s.m.KeyHold, s.m.KeyFor, s.unique = key, hold, d, false
}

// WithUnique makes the task the only one of its name and arguments for d from
// now; see [WithKey].
func WithUnique(d time.Duration) Option {
	return func(s *settings) {
		if d <= 0 {
			s.fail("WithUnique(%s): it must be positive", d)
		}
		s.m.KeyHold, s.m.KeyFor, s.unique = engine.HoldTime, d, true
	}
}

// WithKeep sets how long the task's record stays after it succeeded, at least.
func WithKeep(d time.Duration) Option {
	return func(s *settings) {
		if d < 0 {
			s.fail("WithKeep(%s): it must not be negative", d)
		}
		s.m.Keep = d
	}
}

// WithKeepFailed sets how long the task's record stays after it failed or was
// cancelled, at least.
func WithKeepFailed(d time.Duration) Option {
	return func(s *settings) {
		if d < 0 {
			s.fail("WithKeepFailed(%s): it must not be negative", d)
		}
		s.m.KeepFailed = d
	}
}

// apply applies the options to a message, and then the settings that depend on
// several options.
func apply(m *engine.Message, opts []Option, now time.Time, unique time.Duration, hold engine.KeyHold) error {
	s := &settings{m: m, now: now, unique: unique > 0 || hold != engine.HoldTime}
	m.KeyFor, m.KeyHold = unique, hold
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	if s.unique {
		sum := sha256.Sum256(m.Args)
		m.Key = m.Name + ":" + hex.EncodeToString(sum[:16])
	}
	if m.Replace {
		if m.Key == "" {
			s.fail("WithReplace: the call has no key")
		}
		m.KeyHold, m.KeyFor = engine.HoldWaiting, 0
	}
	return errors.Join(s.errs...)
}

// storable reports whether every engine can store the text.
func storable(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

// priorityOf is a priority as messages have it; what does not exist stays so, for
// the engine to refuse.
func priorityOf(p int) int8 { return int8(max(min(p, engine.Priorities), -1)) }
