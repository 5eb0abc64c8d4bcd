package inspect

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
)

// Tags are a task's tags. They cannot be changed. The zero value has none.
type Tags struct{ m map[string]string }

// TagsOf returns tags with a copy of m.
func TagsOf(m map[string]string) Tags { return Tags{maps.Clone(m)} }

// TagsOver returns tags of m itself, which nobody may change any more: the runtime
// makes them so.
func TagsOver(m map[string]string) Tags { return Tags{m} }

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
