package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// metadata is the metadata of a job: ours under one key, and two keys of
// River's, which its own tools show.
type metadata struct {
	Own *envelope `json:"taskctx,omitempty"`
	// Output is the task's result, where River's RecordOutput puts it.
	Output json.RawMessage `json:"output,omitempty"`
}

// envelope is our data beside a job's arguments. Meta's id and time of
// enqueueing are not in it, but made of the job's number and created_at.
type envelope struct {
	engine.Meta
	Keep       time.Duration  `json:"keep,omitempty"`
	KeepFailed time.Duration  `json:"keep_failed,omitempty"`
	Key        string         `json:"key,omitempty"`
	KeyHold    engine.KeyHold `json:"key_hold,omitempty"`
	KeyFor     time.Duration  `json:"key_for,omitempty"`
	// Args, Result and Memo are texts of JSON that jsonb would change or
	// refuse, each instead of its ordinary place.
	Args    string `json:"args,omitempty"`
	Result  string `json:"result,omitempty"`
	MemoRaw string `json:"memo_text,omitempty"`

	// Memo, Reason and the like are the task's history.
	Memo   json.RawMessage `json:"memo,omitempty"`
	Reason string          `json:"reason,omitempty"`
	// Again says that a waiting task waits for another run.
	Again bool `json:"again,omitempty"`
	// Ended counts the runs that ended the task, and used no attempt, before
	// it was retried by hand.
	Ended int `json:"ended,omitempty"`
	// Cancel is the reason of a cancellation that has reached no run yet.
	Cancel string `json:"cancel,omitempty"`
	// Parked is when a task that no worker knows was due, in microseconds since
	// 1970.
	Parked int64 `json:"parked,omitempty"`
	// Kin is the job of the parent in whose journal the task's end is recorded, a blank
	// and the name of the entry, instead of Meta's Parent, Entry and of a Root that is the
	// Parent: River has an index of all keys and values within metadata. Versions before
	// wrote those, and the job as a number "of"; see kinVersion.
	Kin string `json:"kin,omitempty"`
	// Waits says that a pending job is a suspended task: until when, in microseconds
	// since 1970, or -1.
	Waits int64 `json:"waits,omitempty"`
	// Limits are the message's. Limit says that a pending job waits for a place: the
	// rule of the limit.
	Limits storedLimits `json:"limits,omitempty"`
	Limit  string       `json:"limit,omitempty"`
}

// storedLimits are limits as one text: River has an index of all keys and values within
// metadata, which each change of a job's state writes again. Versions before wrote an array.
type storedLimits []engine.Limit

// MarshalJSON implements [json.Marshaler].
func (l storedLimits) MarshalJSON() ([]byte, error) {
	all := slices.Clone(l)
	for i := range all {
		all[i].Rule, all[i].Key = clean(all[i].Rule), clean(all[i].Key)
	}
	b, err := json.Marshal([]engine.Limit(all))
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *storedLimits) UnmarshalJSON(b []byte) error {
	var text *string // nil for null
	if json.Unmarshal(b, &text) == nil && text != nil {
		b = []byte(*text)
	}
	return json.Unmarshal(b, (*[]engine.Limit)(l))
}

// job is the columns of river_job that this package reads.
type job struct {
	id          int64
	args        []byte
	attempt     int
	attemptedAt *time.Time
	worker      *string // the last of attempted_by
	createdAt   time.Time
	finalizedAt *time.Time
	kind        string
	metadata    []byte
	priority    int
	queue       string
	scheduledAt time.Time
	state       string
	overdue     bool // scheduled_at has passed, by the server's clock
	lastError   []byte
	paused      bool // its kind is
}

// jobColumns are the columns of a job, in the order of scan's pointers.
var jobColumns = jobColumnsOf("j.args", "j.metadata")

// jobColumnsOf returns the columns, with SQL in the place of the arguments and
// the metadata.
func jobColumnsOf(args, metadata string) string {
	return `j.id, ` + args + `, j.attempt, ` + within("j.attempted_at") + `, ` + lastWorker + `, ` + within("j.created_at") + `,
	` + within("j.finalized_at") + `, j.kind, ` + metadata + `, j.priority, j.queue, ` + within("j.scheduled_at") + `,
	j.state::text, j.scheduled_at <= now(), j.errors[array_upper(j.errors, 1)],
	{pausedkind}`
}

func (j *job) pointers() []any {
	return []any{
		&j.id, &j.args, &j.attempt, &j.attemptedAt, &j.worker, &j.createdAt,
		&j.finalizedAt, &j.kind, &j.metadata, &j.priority, &j.queue, &j.scheduledAt, &j.state, &j.overdue,
		&j.lastError, &j.paused,
	}
}

// decode reads a job's metadata. Metadata without our key, of River or another
// producer, is a foreign task's.
func decode(raw []byte) (metadata, error) {
	var m metadata
	if err := json.Unmarshal(raw, &m); err != nil {
		return metadata{Own: new(envelope)}, err
	}
	if m.Own == nil {
		m.Own = new(envelope)
	}
	return m, nil
}

// beside returns the metadata of a job that is not ours, nil if there is none.
func beside(raw []byte) json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	delete(m, "taskctx")
	delete(m, "output") // the result
	if len(m) == 0 {
		return nil
	}
	rest, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	return rest
}

// message makes the message of a job.
func (e *Engine) message(j *job, own *envelope) *engine.Message {
	m := &engine.Message{
		Name: j.kind, Queue: j.queue, Args: j.args, Priority: clientPriority(j.priority),
		Key: own.Key, KeyHold: own.KeyHold, KeyFor: own.KeyFor, Keep: own.Keep, KeepFailed: own.KeepFailed, Meta: own.Meta,
		Limits: own.Limits,
	}
	if own.Args != "" {
		m.Args = json.RawMessage(own.Args)
	}
	if parent, entry, ok := own.kin(); ok {
		m.Meta.Parent, m.Meta.Entry, m.Meta.Version = e.taskID(parent), entry, m.Meta.Version-kinVersion
		if m.Meta.Root == uuid.Nil {
			m.Meta.Root = m.Meta.Parent
		}
	}
	m.Meta.ID, m.Meta.EnqueuedAt = e.taskID(j.id), j.createdAt.UTC()
	if j.attemptedAt == nil && j.scheduledAt.After(j.createdAt) {
		m.Due = j.scheduledAt.UTC()
	}
	return m
}

// kinVersion is added to the version of a message that has a Kin: workers of before, who
// would not tell the parent of its end, park it for others.
const kinVersion = 100

// setKin puts the parent, whose job is given, in its place.
func (own *envelope) setKin(parent int64) {
	own.Kin = strconv.FormatInt(parent, 10) + " " + own.Entry
	if own.Root == own.Parent {
		own.Root = uuid.Nil
	}
	own.Parent, own.Entry, own.Version = uuid.Nil, "", own.Version+kinVersion
}

// kin returns the parent's job and the name of the entry, false if there are none.
func (own *envelope) kin() (parent int64, entry string, ok bool) {
	number, entry, ok := strings.Cut(own.Kin, " ")
	if !ok || entry == "" {
		return 0, "", false
	}
	parent, err := strconv.ParseInt(number, 10, 64)
	return parent, entry, err == nil && parent > 0 && parent <= maxJob
}

// riverPriority returns a priority as River counts it, from 1, the first, to
// 4.
func riverPriority(p int8) int16 { return 4 - int16(p) }
func clientPriority(p int) int8  { return int8(min(max(4-p, 0), engine.Priorities-1)) }

// States of River's jobs that the engine names.
const (
	riverAvailable = "available"
	riverCancelled = "cancelled"
	riverCompleted = "completed"
	riverDiscarded = "discarded"
	riverPending   = "pending" // put aside by tools of River's; nothing runs it
	riverRetryable = "retryable"
	riverRunning   = "running"
	riverScheduled = "scheduled"
)

// entry makes the entry of a job.
func (e *Engine) entry(j *job) *engine.Entry {
	m, err := decode(j.metadata)
	own := m.Own
	en := &engine.Entry{
		ID: e.taskID(j.id), Message: e.message(j, own), State: j.publicState(own), Attempt: j.tried(own),
		Due: j.scheduledAt.UTC(), Result: m.result(), Memo: own.memo(), Reason: own.Reason,
	}
	if own.Parked != 0 && j.state == riverScheduled {
		en.Due = time.UnixMicro(min(max(own.Parked, 0), maxMicro)).UTC()
	}
	if en.State == engine.StateWaiting {
		if en.Due = (time.Time{}); own.Waits > 0 {
			en.Due = time.UnixMicro(min(own.Waits, maxMicro)).UTC()
		}
	}
	if j.attemptedAt != nil {
		en.StartedAt = j.attemptedAt.UTC()
	}
	if j.finalizedAt != nil {
		en.EndedAt = j.finalizedAt.UTC()
	}
	if j.worker != nil {
		en.Worker = strings.TrimPrefix(*j.worker, ownerPrefix)
	}
	switch {
	case en.State == engine.StateSucceeded:
		en.Reason = ""
	case j.paused && j.overdue && (en.State == engine.StatePending || en.State == engine.StateRetrying):
		en.Reason = engine.PausedReason(j.kind)
	case j.state == riverPending && own.Limit != "":
		en.Reason = "waits for " + own.Limit
	case err != nil:
		en.Reason = fmt.Sprintf("metadata cannot be read: %v", err)
	case en.Reason == "" && len(j.lastError) > 0: // of River's own workers
		var last struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(j.lastError, &last) == nil {
			en.Reason = last.Error
		}
	}
	return en
}

func (j *job) publicState(own *envelope) engine.State {
	switch j.state {
	case riverRunning:
		return engine.StateRunning
	case riverCompleted:
		return engine.StateSucceeded
	case riverDiscarded:
		return engine.StateFailed
	case riverCancelled:
		return engine.StateCancelled
	case riverRetryable:
		return engine.StateRetrying
	case riverPending:
		if own.Waits != 0 {
			return engine.StateWaiting
		}
	}
	switch {
	case own.Again:
		return engine.StateRetrying
	case j.state == riverScheduled && own.Parked == 0 && !j.overdue:
		return engine.StateScheduled
	}
	return engine.StatePending
}

// maxMicro is the last microsecond of the year 9999.
const maxMicro = 253402300799999999

// tried returns the task's attempt, as Delivery and Entry count it. River
// counts each run as it starts, and takes a snooze's back.
func (j *job) tried(own *envelope) int {
	n := j.attempt - own.Ended
	switch j.state {
	case riverRunning, riverCompleted:
		n--
	case riverDiscarded, riverCancelled:
		if j.worker != nil && !strings.HasPrefix(*j.worker, ownerPrefix) { // a River worker knows nothing of Ended
			n--
		}
	}
	return max(n, 0)
}

func (m *metadata) result() json.RawMessage {
	if m.Own.Result != "" {
		return json.RawMessage(m.Own.Result)
	}
	return m.Output
}

func (own *envelope) memo() json.RawMessage {
	if own.MemoRaw != "" {
		return json.RawMessage(own.MemoRaw)
	}
	return own.Memo
}

// keeps reports whether jsonb gives back the value of the JSON: it has no
// negative zero, and refuses NUL characters and half surrogates. It may answer
// false although jsonb would.
func keeps(b []byte) bool {
	if bytes.Contains(b, []byte(`\u0000`)) || bytes.Contains(b, []byte(`\ud`)) || bytes.Contains(b, []byte(`\uD`)) {
		return false
	}
	if !bytes.Contains(b, []byte("-0")) {
		return true
	}
	inString := false
	for i := 0; i < len(b); i++ {
		switch {
		case inString && b[i] == '\\':
			i++
		case b[i] == '"':
			inString = !inString
		case !inString && b[i] == '-' && i+1 < len(b) && b[i+1] == '0' && zero(b[i+1:]):
			return false
		}
	}
	return true
}

// zero reports whether the number at the beginning of b is zero.
func zero(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= '1' && c <= '9':
			return false
		case c == 'e' || c == 'E':
			return true
		case c != '0' && c != '.':
			return true
		}
	}
	return true
}
