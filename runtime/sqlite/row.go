package sqlite

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// The states as the file has them. The ready ones are first, the final ones
// last but one, and all take one byte.
const (
	pending   = 2
	dueAgain  = 3
	running   = 4
	parked    = 5
	scheduled = 6
	retrying  = 7
	succeeded = 8
	failed    = 9
	cancelled = 10
	suspended = 11 // a number that programs without journals leave alone
)

// never is the time that never comes, and the lease that no run has.
const never = 1 << 62

// versionOf is a message's version as its row has it; what is beyond stays so.
func versionOf(v int64) int16 { return int16(max(min(v, math.MaxInt16), math.MinInt16)) }

// leaseBits is how many bits of a lease number a worker's claims.
const leaseBits = 36

// publicState returns the state in the contract's terms.
func publicState(state, attempt int, due, now int64) engine.State {
	switch state {
	case pending:
		return engine.StatePending
	case running:
		return engine.StateRunning
	case parked:
		if attempt == 0 {
			return engine.StatePending
		}
	case scheduled:
		if due <= now {
			return engine.StatePending
		}
		return engine.StateScheduled
	case succeeded:
		return engine.StateSucceeded
	case failed:
		return engine.StateFailed
	case cancelled:
		return engine.StateCancelled
	case suspended:
		return engine.StateWaiting
	case aside:
		return engine.StatePending
	}
	return engine.StateRetrying
}

// extra is the fields that few messages have. It is stored as JSON.
type extra struct {
	Due      time.Time         `json:"due,omitzero"`
	Key      string            `json:"key,omitempty"`
	KeyFor   time.Duration     `json:"key_for,omitempty"`
	KeyHold  engine.KeyHold    `json:"key_hold,omitempty"`
	Limits   []engine.Limit    `json:"limits,omitempty"`
	Timeout  time.Duration     `json:"timeout,omitempty"`
	Deadline time.Time         `json:"deadline,omitzero"`
	Tags     map[string]string `json:"tags,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Redact   []string          `json:"redact,omitempty"`
	Entry    string            `json:"entry,omitempty"`
	Orphan   bool              `json:"orphan,omitempty"`
}

// encodeExtra returns the JSON of m's unusual fields, nil if there are none.
func encodeExtra(m *engine.Message) ([]byte, error) {
	if m.Due.IsZero() && m.Key == "" && m.KeyFor == 0 && m.KeyHold == 0 && m.Limits == nil &&
		m.Meta.Timeout == 0 && m.Meta.Deadline.IsZero() &&
		len(m.Meta.Tags) == 0 && len(m.Meta.Headers) == 0 && len(m.Meta.Redact) == 0 && m.Meta.Entry == "" && !m.Meta.Orphan {
		return nil, nil
	}
	b, err := json.Marshal(extra{
		Due: m.Due, Key: m.Key, KeyFor: m.KeyFor, KeyHold: m.KeyHold, Limits: m.Limits, Timeout: m.Meta.Timeout, Deadline: m.Meta.Deadline,
		Tags: m.Meta.Tags, Headers: m.Meta.Headers, Redact: m.Meta.Redact,
		Entry: m.Meta.Entry, Orphan: m.Meta.Orphan,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the options of task %s: %w", m.Name, err)
	}
	return b, nil
}

func decodeExtra(b []byte, m *engine.Message) error {
	var x extra
	if err := json.Unmarshal(b, &x); err != nil {
		return err
	}
	m.Due, m.Key, m.KeyFor, m.KeyHold, m.Limits = x.Due, x.Key, x.KeyFor, x.KeyHold, x.Limits
	m.Meta.Timeout, m.Meta.Deadline = x.Timeout, x.Deadline
	m.Meta.Tags, m.Meta.Headers, m.Meta.Redact = x.Tags, x.Headers, x.Redact
	m.Meta.Entry, m.Meta.Orphan = x.Entry, x.Orphan
	return nil
}

// nanos returns t as the file has it. Times that do not fit become the nearest
// fitting one.
func nanos(t time.Time) int64 {
	switch y := t.Year(); {
	case t.IsZero():
		return never
	case y < 1700:
		return math.MinInt64
	case y > 2200:
		return math.MaxInt64
	}
	return t.UnixNano()
}

func timeOf(n int64) time.Time {
	if n == never {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// add returns a + b, or the largest number if that does not fit.
func add(a int64, b time.Duration) int64 {
	if s := a + int64(b); b <= 0 || s > a {
		return s
	}
	return math.MaxInt64
}

// row is a task as the file has it.
type row struct {
	seq, lease, due, started, ended int64
	keep, keepFailed                int64 // after the end
	state, attempt                  int
	msg                             *engine.Message
	memo                            json.RawMessage
}

// final reports whether the task has ended.
func (r *row) final() bool { return isFinal(r.state) }

func isFinal(state int) bool { return state >= succeeded && state <= cancelled }

// names makes strings of recurring names without a copy for each.
type names map[string]string

func (n names) get(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	if len(n) > 1000 {
		clear(n)
	}
	s := string(b)
	n[s] = s
	return s
}

// scanRow reads rowColumns into r and r.msg. It leaves out undecodable parts
// of a message, with an error: the task can be shown anyhow.
func scanRow(s *lite.Stmt, n names, r *row) error {
	r.seq, r.state, r.attempt, r.lease = s.Int(0), int(s.Int(1)), int(s.Int(2)), s.Int(3)
	r.due, r.started, r.ended, r.keep = s.Int(5), s.Int(6), s.Int(7), s.Int(8)
	m := r.msg
	m.Priority = int8(max(min(s.Int(4), math.MaxInt8), math.MinInt8))
	copy(m.Meta.ID[:], s.View(9))
	m.Name, m.Queue = n.get(s.View(10)), n.get(s.View(11))
	m.Args = s.Bytes(12)
	r.keepFailed = s.Int(21)
	m.Keep, m.KeepFailed = time.Duration(r.keep), time.Duration(max(r.keepFailed, 0))
	m.Meta.Version = versionOf(s.Int(13))
	m.Meta.Signature = n.get(s.View(14))
	m.Meta.Retries = int(s.Int(15))
	m.Meta.EnqueuedAt = timeOf(s.Int(16))
	copy(m.Meta.Parent[:], s.View(17))
	copy(m.Meta.Root[:], s.View(18))
	r.memo = s.Bytes(20)
	if x := s.View(19); x != nil {
		if err := decodeExtra(x, m); err != nil {
			return fmt.Errorf("decode the options of task %s: %w", m.Meta.ID, err)
		}
	}
	return nil
}

// bindID binds an id that most tasks do not have.
func bindID(s *lite.Stmt, i int, id uuid.UUID) {
	if id == uuid.Nil {
		s.BindNull(i)
		return
	}
	s.BindBlob(i, id[:])
}
