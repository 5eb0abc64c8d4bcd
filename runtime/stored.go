package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// storedMetadata is what a store has with a task beside its arguments and its end.
type storedMetadata struct {
	Meta       json.RawMessage `json:"meta"`
	Key        string          `json:"key,omitempty"`
	KeyHold    engine.KeyHold  `json:"key_hold,omitempty"`
	KeyFor     time.Duration   `json:"key_for,omitempty"`
	Keep       time.Duration   `json:"keep,omitempty"`
	KeepFailed time.Duration   `json:"keep_failed,omitempty"`
	Limits     json.RawMessage `json:"limits,omitempty"`
	Memo       json.RawMessage `json:"memo,omitempty"`
	Beside     json.RawMessage `json:"beside,omitempty"`
}

// StoredMetadata returns what the store has with a task beside its arguments and its
// result, as one JSON object: "meta" with the headers of propagators, locals and
// options, the key and the limits, "memo" with what is kept from run to run, and
// "beside" with what other programs have put there. The values of redacted parameters
// are replaced, and what the codec has sealed stays so. An unknown id is [ErrNotFound].
func (a *App) StoredMetadata(ctx context.Context, id uuid.UUID) (json.RawMessage, error) {
	e, err := a.engine.Get(ctx, id)
	if err != nil {
		return nil, aboutTask("look up", id, err)
	}
	m := e.Message
	d := a.redactorOf(m, a.registered(m.Name))
	own := m.Meta
	for _, t := range []*time.Time{&own.EnqueuedAt, &own.Deadline} {
		if y := t.UTC().Year(); y < 0 || y > lastYear {
			*t = time.Time{}
		}
	}
	meta, err := json.Marshal(&own)
	if err != nil {
		return nil, fmt.Errorf("encode the metadata of task %s: %w", id, err)
	}
	s := storedMetadata{
		Meta: d.JSON(meta), Key: d.Clean(m.Key), KeyHold: m.KeyHold, KeyFor: m.KeyFor, Keep: m.Keep, KeepFailed: m.KeepFailed,
		Memo: d.JSON(inspect.JSON(e.Memo)),
	}
	if e.Beside != nil {
		s.Beside = d.JSON(inspect.JSON(e.Beside()))
	}
	if len(m.Limits) > 0 {
		limits, err := json.Marshal(m.Limits)
		if err != nil {
			return nil, fmt.Errorf("encode the limits of task %s: %w", id, err)
		}
		s.Limits = d.JSON(limits)
	}
	text, err := json.Marshal(&s)
	if err != nil {
		return nil, fmt.Errorf("encode the metadata of task %s: %w", id, err)
	}
	return text, nil
}
