package web_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/memory"
)

// hostile is an engine whose tasks have a text wherever they can have one.
type hostile struct {
	*memory.Engine
	text    string
	entries []*engine.Entry
}

func newHostile(t *testing.T, text string) *hostile {
	t.Helper()
	e := &hostile{Engine: memory.New(memory.Config{}), text: text}
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	var lines []inspect.LogLine
	for range 40 {
		lines = append(lines, inspect.LogLine{Time: time.Now(), Level: slog.LevelWarn, Logger: text, Message: text, Attrs: text})
	}
	if len(text) > 10_000 {
		lines = lines[:1]
	}
	memo, err := json.Marshal(map[string]any{
		"errors":   []inspect.AttemptError{{At: time.Now(), Error: text, Stack: text}},
		"logs":     lines,
		"progress": inspect.Progress{Done: -7, Total: 3, Note: text, At: time.Now()},
	})
	require.NoError(t, err)
	now := time.Now()
	for i, s := range engine.States() {
		id := uuid.UUID{15: byte(i + 1)}
		m := &engine.Message{
			Name: text, Queue: text, Args: json.RawMessage(quoted),
			Meta: engine.Meta{ID: id, EnqueuedAt: now, Tags: map[string]string{text: text, "every": text}, Parent: id, Root: uuid.UUID{14: 1}},
		}
		e.entries = append(e.entries, &engine.Entry{
			ID: id, Message: m, State: s, Attempt: 1 << 30, Due: now, StartedAt: now, EndedAt: now, Worker: text, Result: json.RawMessage(text),
			Reason: text, Memo: memo,
		})
	}
	// Times that no JSON can have.
	e.entries[1].Due, e.entries[1].StartedAt, e.entries[1].EndedAt = time.Unix(1<<60, 0), time.Unix(-1<<60, 0), time.Unix(1<<60, 0)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func (e *hostile) ids() []string {
	var ids []string
	for _, en := range e.entries {
		ids = append(ids, en.ID.String())
	}
	return ids
}

func (e *hostile) Get(_ context.Context, id uuid.UUID) (*engine.Entry, error) {
	for _, en := range e.entries {
		if en.ID == id {
			own := *en
			return &own, nil
		}
	}
	return nil, runtime.ErrNotFound
}

func (e *hostile) List(_ context.Context, q engine.Query) (found []*engine.Entry, next string, err error) {
	for _, en := range e.entries {
		if q.Matches(en) {
			own := *en
			if q.Brief {
				own.Memo, own.Result = nil, nil
			}
			found = append(found, &own)
		}
	}
	return found, "", nil
}

func (e *hostile) Counts(context.Context) ([]engine.Count, error) {
	var counts []engine.Count
	for _, s := range engine.States() {
		counts = append(counts, engine.Count{Queue: e.text, State: s, Tasks: 1 << 60, Estimated: true, Oldest: time.Unix(1, 0)})
	}
	return counts, nil
}

func (e *hostile) Workers(context.Context) ([]engine.WorkerInfo, error) {
	return []engine.WorkerInfo{{
		ID: e.text, Host: e.text, PID: -1, StartedAt: time.Unix(0, 0), SeenAt: time.Now(), Slots: -5, Running: math.MaxInt,
		Queues: []string{e.text}, Names: []string{e.text},
	}}, nil
}

// Limits and History make it a Limiter and a Historian of its own.
func (e *hostile) Limits(context.Context) ([]engine.LimitCount, error) {
	return []engine.LimitCount{
		{Rule: e.text, Set: 3, Keys: -1, Held: math.MaxInt, Waiting: 7},
		{Rule: e.text + "2", Set: -1, Per: -time.Hour, Waiting: -2},
	}, nil
}

func (e *hostile) History(_ context.Context, q engine.HistoryQuery) ([]engine.Tally, error) {
	var ts []engine.Tally
	for _, kind := range []string{e.text, "ran." + e.text, "ran.99", "ran.3", "waited.-1", "succeeded", "failed"} {
		for _, n := range []int64{1 << 60, -5, 3} {
			for _, at := range []time.Time{time.Now(), time.Unix(1<<60, 0), time.Unix(-1<<60, 0), {}} {
				ts = append(ts, engine.Tally{Step: q.Step, At: at, Queue: e.text, Kind: kind, Tasks: n})
			}
		}
	}
	return ts, nil
}
