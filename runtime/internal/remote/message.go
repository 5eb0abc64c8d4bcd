package remote

import (
	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// IsBare reports that a message has only the common fields: name, queue,
// arguments, priority, Keep and KeepFailed, and of its metadata the version,
// the id, the time of the enqueue, the signature and the retries.
func IsBare(m *engine.Message) bool {
	t := &m.Meta
	return m.Due.IsZero() && m.Key == "" && m.KeyHold == 0 && m.KeyFor == 0 && !m.Replace && m.ReplaceFor == 0 && len(m.Limits) == 0 &&
		t.Timeout == 0 && t.Deadline.IsZero() && t.Parent == uuid.Nil && t.Root == uuid.Nil && t.Entry == "" && !t.Orphan &&
		len(t.Tags) == 0 && len(t.Headers) == 0 && len(t.Redact) == 0
}
