package redis

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// taskMessage is asynq's TaskMessage (internal/proto/asynq.proto of v0.26),
// the protocol buffer in the msg field of a task's hash. Fields of other
// numbers are kept as they are.
type taskMessage struct {
	kind, id, queue, errorMsg, uniqueKey, groupKey string
	payload                                        []byte
	headers                                        []headerOf
	retry, retried                                 int32
	timeout, deadline, lastFailedAt                int64
	retention, completedAt                         int64
	unknown                                        []byte
	raw                                            []byte // of an unreadable message, which stays as it is
}

// headerOf is a header of a task message.
type headerOf struct{ key, value []byte }

// Numbers of TaskMessage's fields.
const (
	fieldType = iota + 1
	fieldPayload
	fieldID
	fieldQueue
	fieldRetry
	fieldRetried
	fieldErrorMsg
	fieldTimeout
	fieldDeadline
	fieldUniqueKey
	fieldLastFailedAt
	fieldRetention
	fieldCompletedAt
	fieldGroupKey
	fieldHeaders
)

// farDeadline keeps an asynq server that takes a task of ours from applying
// its default timeout of 30 minutes: the App enforces time limits.
var farDeadline = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func (m *taskMessage) encode() []byte {
	if m.raw != nil {
		return m.raw
	}
	size := 192 + len(m.payload)
	for _, h := range m.headers {
		size += len(h.value)
	}
	b := make([]byte, 0, size)
	text := func(n protowire.Number, s string) {
		if s != "" {
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
		}
	}
	number := func(n protowire.Number, v int64) {
		if v != 0 {
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		}
	}
	text(fieldType, m.kind)
	if len(m.payload) > 0 {
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldPayload, protowire.BytesType), m.payload)
	}
	text(fieldID, m.id)
	text(fieldQueue, m.queue)
	number(fieldRetry, int64(m.retry))
	number(fieldRetried, int64(m.retried))
	text(fieldErrorMsg, m.errorMsg)
	number(fieldTimeout, m.timeout)
	number(fieldDeadline, m.deadline)
	text(fieldUniqueKey, m.uniqueKey)
	number(fieldLastFailedAt, m.lastFailedAt)
	number(fieldRetention, m.retention)
	number(fieldCompletedAt, m.completedAt)
	text(fieldGroupKey, m.groupKey)
	for _, h := range m.headers {
		b = protowire.AppendTag(b, fieldHeaders, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(2+protowire.SizeBytes(len(h.key))+protowire.SizeBytes(len(h.value))))
		b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), h.key)
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), h.value)
	}
	return append(b, m.unknown...)
}

var errMessage = errors.New("not a task message of asynq")

func decodeTaskMessage(b []byte) (*taskMessage, error) {
	m := new(taskMessage)
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil, errMessage
		}
		whole := protowire.ConsumeFieldValue(n, typ, b[size:])
		if whole < 0 {
			return nil, errMessage
		}
		value := b[size : size+whole]
		if !m.set(n, typ, value) {
			m.unknown = append(m.unknown, b[:size+whole]...)
		}
		b = b[size+whole:]
	}
	if m.kind == "" {
		return nil, fmt.Errorf("%w: it has no type", errMessage)
	}
	return m, nil
}

// set sets one field from its value, and reports whether it knows it.
func (m *taskMessage) set(n protowire.Number, typ protowire.Type, value []byte) bool {
	texts := map[protowire.Number]*string{
		fieldType: &m.kind, fieldID: &m.id, fieldQueue: &m.queue, fieldErrorMsg: &m.errorMsg,
		fieldUniqueKey: &m.uniqueKey, fieldGroupKey: &m.groupKey,
	}
	switch typ {
	case protowire.BytesType:
		v, _ := protowire.ConsumeBytes(value)
		if p, ok := texts[n]; ok {
			*p = string(v)
			return true
		}
		switch n {
		case fieldPayload:
			m.payload = append([]byte(nil), v...)
			return true
		case fieldHeaders:
			return m.setHeader(v)
		}
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		switch n {
		case fieldRetry:
			m.retry = int32(v)
		case fieldRetried:
			m.retried = int32(v)
		case fieldTimeout:
			m.timeout = int64(v)
		case fieldDeadline:
			m.deadline = int64(v)
		case fieldLastFailedAt:
			m.lastFailedAt = int64(v)
		case fieldRetention:
			m.retention = int64(v)
		case fieldCompletedAt:
			m.completedAt = int64(v)
		default:
			return false
		}
		return true
	}
	return false
}

func (m *taskMessage) setHeader(entry []byte) bool {
	var kv [2][]byte
	for len(entry) > 0 {
		n, typ, size := protowire.ConsumeTag(entry)
		if size < 0 || typ != protowire.BytesType || n < 1 || n > 2 {
			return false
		}
		v, used := protowire.ConsumeBytes(entry[size:])
		if used < 0 {
			return false
		}
		kv[n-1] = bytes.Clone(v)
		entry = entry[size+used:]
	}
	m.headers = append(m.headers, headerOf{kv[0], kv[1]})
	return true
}

// header returns the value of our header: the last one, as in a protocol
// buffer's map.
func (m *taskMessage) header() []byte {
	for _, h := range slices.Backward(m.headers) {
		if string(h.key) == header {
			return h.value
		}
	}
	return nil
}

// beside returns the headers that are not ours as JSON, nil if there are none.
func (m *taskMessage) beside() json.RawMessage {
	var others map[string]string
	for _, h := range m.headers {
		if string(h.key) != header {
			if others == nil {
				others = make(map[string]string)
			}
			others[string(h.key)] = string(h.value)
		}
	}
	if others == nil {
		return nil
	}
	text, err := json.Marshal(others)
	if err != nil {
		return nil
	}
	return text
}

// header is the header that holds our data.
const header = "taskctx"

var headerKey = []byte(header)

// envelope is the content of the header: the Meta, and fields of Message
// without a place in asynq. It leaves out data that asynq's message has: the
// id, and the retries and the time to keep if they have the same precision
// there.
type envelope struct {
	engine.Meta
	Retries    int            `json:"retries,omitempty"` // in place of Meta's
	Due        time.Time      `json:"due,omitzero"`
	Key        string         `json:"key,omitempty"`
	KeyFor     time.Duration  `json:"key_for,omitempty"`
	KeyHold    engine.KeyHold `json:"key_hold,omitempty"`
	Keep       time.Duration  `json:"keep,omitempty"`
	KeepFailed time.Duration  `json:"keep_failed,omitempty"`
	Limits     []engine.Limit `json:"limits,omitempty"`
}

// envelopeOf returns the content of a message's header.
func envelopeOf(m *engine.Message) envelope {
	own := envelope{
		Meta: m.Meta, Due: m.Due, Key: m.Key, KeyFor: m.KeyFor, KeyHold: m.KeyHold, KeepFailed: m.KeepFailed,
		Limits: m.Limits,
	}
	own.ID = uuid.Nil
	if m.Meta.Retries != int(retries(m)) {
		own.Retries = m.Meta.Retries
	}
	if m.Keep != time.Duration(seconds(m.Keep))*time.Second {
		own.Keep = m.Keep
	}
	return own
}

// encodeHeader returns the header as encoding/json writes it, by hand if the
// message has only the common fields.
func encodeHeader(m *engine.Message) ([]byte, error) {
	t := &m.Meta
	own := envelopeOf(m)
	if t.Version == 0 || !isPlain(t.Signature) || !isPlainTime(t.EnqueuedAt) || !remote.IsBare(m) ||
		own.Retries != 0 || own.Keep != 0 || own.KeyHold != 0 {
		return json.Marshal(own)
	}
	b := make([]byte, 0, 128)
	b = strconv.AppendInt(append(b, `{"v":`...), int64(t.Version), 10)
	b = t.EnqueuedAt.AppendFormat(append(b, `,"at":"`...), time.RFC3339Nano)
	b = append(append(b, `","sig":"`...), t.Signature...)
	b = append(b, '"')
	if own.KeepFailed != 0 {
		b = strconv.AppendInt(append(b, `,"keep_failed":`...), int64(own.KeepFailed), 10)
	}
	return append(b, '}'), nil
}

// isPlainTime reports that a time is set and that its JSON is its RFC 3339
// text.
func isPlainTime(t time.Time) bool {
	return t.Location() == time.UTC && !t.IsZero() && t.Year() >= 0 && t.Year() <= 9999
}

// isPlain reports that a text is not empty and the same in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return s != ""
}

// encodeMessage makes an asynq message of ours.
func (l *layout) encodeMessage(m *engine.Message) (taskMessage, error) {
	head, err := encodeHeader(m)
	if err != nil {
		return taskMessage{}, fmt.Errorf("encode metadata of %s: %w", m.Name, err)
	}
	return taskMessage{
		kind: m.Name, payload: m.Args, id: m.Meta.ID.String(), queue: l.inAsynq(m.Queue),
		retry: retries(m), deadline: farDeadline,
		retention: seconds(m.Keep), headers: []headerOf{{headerKey, head}},
	}, nil
}

// retries returns a message's retries, within the bounds of asynq's message.
func retries(m *engine.Message) int32 { return int32(max(min(m.Meta.Retries, math.MaxInt32), 0)) }

// seconds returns d in whole seconds, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// ofSeconds returns the seconds of an asynq message as a Duration, within its
// bounds.
func ofSeconds(s int64) time.Duration {
	return time.Duration(max(min(s, math.MaxInt64/int64(time.Second)), 0)) * time.Second
}

// message makes our message of an asynq message. One without our header is of
// a foreign producer. An error says that the header cannot be read; the
// message is then foreign too.
func (m *taskMessage) message(keep time.Duration) (*engine.Message, error) {
	var head envelope
	var err error
	if raw := m.header(); raw != nil {
		if err = json.Unmarshal(raw, &head); err != nil {
			head, err = envelope{}, fmt.Errorf("read header %s: %w", header, err)
		}
	}
	out := &engine.Message{
		Name: m.kind, Queue: m.queue, Args: m.payload, Due: head.Due,
		Key: head.Key, KeyFor: head.KeyFor, KeyHold: head.KeyHold,
		Keep: head.Keep, KeepFailed: head.KeepFailed, Limits: head.Limits, Meta: head.Meta,
	}
	if len(out.Args) == 0 {
		out.Args = json.RawMessage("{}")
	}
	out.Meta.Retries = cmp.Or(head.Retries, int(m.retry))
	if out.Keep == 0 {
		out.Keep = ofSeconds(m.retention)
	}
	if head.Meta.Version == 0 {
		out.Keep = max(out.Keep, keep)
	}
	out.Meta.ID = taskID(m.id)
	return out, err
}

// idSpace names the ids of foreign tasks whose asynq id is no UUID.
var idSpace = uuid.MustParse("6f1c0b52-7f4e-4d0e-9b7b-6a1f4f1f3a55")

// taskID returns the id of the task with the given id in asynq.
func taskID(id string) uuid.UUID {
	if u, err := uuid.Parse(id); err == nil && u.String() == id {
		return u
	}
	return uuid.NewSHA1(idSpace, []byte(id))
}

// details are our data in a task's hash beside the message, in the field
// "taskctx".
type details struct {
	Reason    string    `json:"reason,omitempty"`
	Cancelled bool      `json:"cancelled,omitempty"`
	Snoozed   bool      `json:"snoozed,omitempty"` // or parked
	Again     bool      `json:"again,omitempty"`   // it has run before
	Waits     bool      `json:"waits,omitempty"`   // of a scheduled task: it is suspended
	StartedAt time.Time `json:"started,omitzero"`
	EndedAt   time.Time `json:"ended,omitzero"`
	ParkedAt  time.Time `json:"parked,omitzero"` // when it was first parked
	Due       time.Time `json:"due,omitzero"`
	Worker    string    `json:"worker,omitempty"`
}

func (d *details) encode() string {
	b, _ := json.Marshal(d) // it has only fields that can be encoded
	return string(b)
}

// decodeDetails reads details; unreadable ones count as none.
func decodeDetails(s string) (d details) {
	if s != "" {
		_ = json.Unmarshal([]byte(s), &d)
	}
	return d
}
