package runtime

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Metadata describes a running task. It is a copy: changes have no effect
// elsewhere.
type Metadata struct {
	TaskID uuid.UUID `json:"task_id"`
	// Name is the task's name on the wire, Func the name of its Go function.
	Name  string `json:"name"`
	Func  string `json:"func"`
	Queue string `json:"queue"`
	// Attempt counts from zero. Retries and lost workers count, snoozes do not.
	Attempt    int `json:"attempt"`
	MaxRetries int `json:"max_retries"`
	// EnqueuedAt is when the task was first enqueued, in UTC, the same in every
	// attempt. It is zero for a task of a foreign producer.
	EnqueuedAt time.Time `json:"enqueued_at"`
	Tags       Tags      `json:"tags"`
	// ParentID is the task that enqueued this one, and RootID the first task
	// of that line: the task itself if no task enqueued it.
	ParentID uuid.UUID `json:"parent_id,omitzero"`
	RootID   uuid.UUID `json:"root_id"`
	// Deadline is when the attempt, or the task, is out of time; zero if never.
	Deadline time.Time `json:"deadline,omitzero"`
}

// Tags are a task's tags. They cannot be changed. The zero value has none.
type Tags struct{ m map[string]string }

// TagsOf returns tags with a copy of m.
func TagsOf(m map[string]string) Tags { return Tags{maps.Clone(m)} }

// Get returns the value of the tag, empty if there is none.
func (t Tags) Get(key string) string { return t.m[key] }

// Lookup returns the value of the tag, and whether there is one.
func (t Tags) Lookup(key string) (string, bool) { v, ok := t.m[key]; return v, ok }

// Len returns the number of tags.
func (t Tags) Len() int { return len(t.m) }

// All ranges over the tags in the order of their keys.
func (t Tags) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, k := range slices.Sorted(maps.Keys(t.m)) {
			if !yield(k, t.m[k]) {
				return
			}
		}
	}
}

// Map returns a copy, never nil.
func (t Tags) Map() map[string]string {
	m := make(map[string]string, len(t.m))
	maps.Copy(m, t.m)
	return m
}

// MarshalJSON encodes the tags as one object.
func (t Tags) MarshalJSON() ([]byte, error) { return json.Marshal(t.Map()) }

// UnmarshalJSON decodes the JSON of MarshalJSON.
func (t *Tags) UnmarshalJSON(b []byte) error {
	var m map[string]string // not t.m, which others may share
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	t.m = m
	return nil
}

func (r *run) metadata() Metadata {
	deadline, _ := r.life.Deadline()
	return Metadata{
		TaskID: r.id(), Name: r.msg.Name, Func: r.reg.def.Func, Queue: r.msg.Queue,
		Attempt: r.d.Attempt, MaxRetries: r.retries(), EnqueuedAt: r.msg.Meta.EnqueuedAt,
		Tags: Tags{r.app.tagsOf(r.msg)}, ParentID: r.msg.Meta.Parent, RootID: r.rootID(), Deadline: deadline,
	}
}
