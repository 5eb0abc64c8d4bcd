package memory

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// kind is the common part of all tasks of one type, and of one worker.
type kind struct {
	Name, Queue, Signature string
	KeyHold                engine.KeyHold
	KeyFor, Timeout        time.Duration
	Keep, KeepFailed       time.Duration
	Version                int16
	Priority               int8
	Retries                int
	worker                 string
}

// maxKinds bounds the kinds: queues and workers may have made-up names.
const maxKinds = 1 << 13

// kindSet numbers the kinds.
type kindSet struct {
	all    []kind
	number map[kind]uint32
	recent [16]uint32 // numbers plus 1 of kinds seen lately, by cheap hashes
}

// is reports whether the task is of the kind.
func (k *kind) is(t *task) bool {
	m := t.msg
	return k.Name == m.Name && k.Queue == m.Queue && k.worker == t.worker && k.Signature == m.Meta.Signature &&
		k.Priority == m.Priority && k.KeyHold == m.KeyHold && k.KeyFor == m.KeyFor &&
		k.Keep == m.Keep && k.KeepFailed == m.KeepFailed &&
		k.Timeout == m.Meta.Timeout && k.Version == m.Meta.Version && k.Retries == m.Meta.Retries
}

// of returns the number of the task's kind, false if there are too many kinds.
func (s *kindSet) of(t *task) (uint32, bool) {
	name := t.msg.Name
	slot := &s.recent[0]
	if n := len(name); n > 0 {
		slot = &s.recent[(n*7+int(name[n-1])*3+int(name[n/2])+len(t.msg.Queue))%len(s.recent)]
	}
	if i := *slot; i > 0 && s.all[i-1].is(t) {
		return i - 1, true
	}
	i, ok := s.find(t)
	if ok {
		*slot = i + 1
	}
	return i, ok
}

func (s *kindSet) find(t *task) (uint32, bool) {
	m := t.msg
	k := kind{
		Name: m.Name, Queue: m.Queue, Signature: m.Meta.Signature, Priority: m.Priority,
		KeyHold: m.KeyHold, KeyFor: m.KeyFor, Keep: m.Keep, KeepFailed: m.KeepFailed, Timeout: m.Meta.Timeout,
		Version: m.Meta.Version, Retries: m.Meta.Retries, worker: t.worker,
	}
	if i, ok := s.number[k]; ok {
		return i, true
	}
	if len(s.all) >= maxKinds {
		return 0, false
	}
	if s.number == nil {
		s.number = make(map[kind]uint32)
	}
	i := uint32(len(s.all))
	s.all = append(s.all, k)
	s.number[k] = i
	return i, true
}

// message returns a message with the fields of its kind.
func (k *kind) message() *engine.Message {
	return &engine.Message{
		Name: k.Name, Queue: k.Queue, Priority: k.Priority,
		KeyHold: k.KeyHold, KeyFor: k.KeyFor, Keep: k.Keep, KeepFailed: k.KeepFailed,
		Meta: engine.Meta{Version: k.Version, Signature: k.Signature, Retries: k.Retries, Timeout: k.Timeout},
	}
}

// Fields of the rest of a record, which few tasks have. Each is written as its
// number and its value; strings with their length before them.
const (
	restKey byte = iota + 1
	restDue
	restDeadline
	restParent
	restRoot
	restTag
	restHeader
	restRedact
	restReason
	restMemo
	restEntry
	restOrphan
)

// appendRest writes the other fields of the task.
func appendRest(b []byte, t *task) []byte {
	m := t.msg
	if m.Key != "" {
		b = appendText(append(b, restKey), m.Key)
	}
	b = appendTime(b, restDue, m.Due)
	b = appendTime(b, restDeadline, m.Meta.Deadline)
	if m.Meta.Parent != uuid.Nil {
		b = append(append(b, restParent), m.Meta.Parent[:]...)
	}
	if m.Meta.Root != uuid.Nil {
		b = append(append(b, restRoot), m.Meta.Root[:]...)
	}
	b = appendTexts(b, restTag, m.Meta.Tags)
	b = appendTexts(b, restHeader, m.Meta.Headers)
	for _, name := range m.Meta.Redact {
		b = appendText(append(b, restRedact), name)
	}
	if m.Meta.Entry != "" {
		b = appendText(append(b, restEntry), m.Meta.Entry)
	}
	if m.Meta.Orphan {
		b = append(b, restOrphan)
	}
	if t.more != nil && t.more.reason != "" {
		b = appendText(append(b, restReason), t.more.reason)
	}
	if t.more != nil && len(t.more.memo) > 0 {
		b = appendText(append(b, restMemo), string(t.more.memo))
	}
	return b
}

func appendTexts(b []byte, field byte, texts map[string]string) []byte {
	if len(texts) == 0 { // spares the cost of a range
		return b
	}
	for k, v := range texts {
		b = appendText(appendText(append(b, field), k), v)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, field byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = binary.AppendVarint(append(b, field), t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

// rest reads the bytes of appendRest.
type rest []byte

func (r *rest) text() string {
	n, used := binary.Uvarint(*r)
	s := string((*r)[used : used+int(n)])
	*r = (*r)[used+int(n):]
	return s
}

func (r *rest) time() time.Time {
	sec, used := binary.Varint(*r)
	*r = (*r)[used:]
	ns, used := binary.Uvarint(*r)
	*r = (*r)[used:]
	return time.Unix(sec, int64(ns)).UTC()
}

func (r *rest) id() (id uuid.UUID) {
	*r = (*r)[copy(id[:], *r):]
	return id
}

// readRest sets the fields in the entry from the bytes of appendRest.
func readRest(b []byte, en *engine.Entry) {
	m := en.Message
	for r := rest(b); len(r) > 0; {
		field := r[0]
		r = r[1:]
		switch field {
		case restKey:
			m.Key = r.text()
		case restDue:
			m.Due = r.time()
		case restDeadline:
			m.Meta.Deadline = r.time()
		case restParent:
			m.Meta.Parent = r.id()
		case restRoot:
			m.Meta.Root = r.id()
		case restTag:
			set(&m.Meta.Tags, r.text(), r.text())
		case restHeader:
			set(&m.Meta.Headers, r.text(), r.text())
		case restRedact:
			m.Meta.Redact = append(m.Meta.Redact, r.text())
		case restReason:
			en.Reason = r.text()
		case restMemo:
			en.Memo = []byte(r.text())
		case restEntry:
			m.Meta.Entry = r.text()
		case restOrphan:
			m.Meta.Orphan = true
		}
	}
}

func set(m *map[string]string, k, v string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[k] = v
}
