package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/wire"
)

// boundCodec hides what it encodes, and refuses what was encoded for another
// binding.
type boundCodec struct{}

func (boundCodec) Encode(b hook.Binding, plain json.RawMessage) (json.RawMessage, error) {
	hidden := strings.Map(func(r rune) rune { return r + 1 }, string(plain))
	return json.Marshal([]string{fmt.Sprint(b), hidden})
}

func (boundCodec) Decode(b hook.Binding, stored json.RawMessage) (json.RawMessage, error) {
	var parts []string
	if err := json.Unmarshal(stored, &parts); err != nil || len(parts) != 2 {
		return nil, fmt.Errorf("not encoded: %s", stored)
	}
	if parts[0] != fmt.Sprint(b) {
		return nil, fmt.Errorf("encoded for %s, not for %v", parts[0], b)
	}
	return json.RawMessage(strings.Map(func(r rune) rune { return r - 1 }, parts[1])), nil
}

func (boundCodec) HashKey(key []byte) []byte {
	return []byte(fmt.Sprintf("hash of %d bytes.", len(key)))
}

// TestCodec_SealsTheJournal: steps, signals and the results
// and reasons of children, each bound to its task.
func TestCodec_SealsTheJournal(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2, Codec: boundCodec{}, Sealed: []hook.Part{hook.PartResult, hook.PartReason}})
	render := newUnit[string, string]("press.Render")
	render.handle(app, func(_ *runtime.Context, s string) (string, error) {
		if s == "bad" {
			return "", errors.New("secret-reason")
		}
		return "secret-result " + s, nil
	})
	u := newUnit[int, string]("press.Publish", durably, retries(3))
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		step, err := runtime.Step(ctx, "one", func(context.Context) (string, error) { return "secret-step", nil })
		if err != nil {
			return "", err
		}
		sent, err := approved.Await(ctx, 0)
		if err != nil {
			return "", err
		}
		ends, err := runtime.AwaitEnds(ctx, runtime.Spawn(ctx, "good", render.call("x")), runtime.Spawn(ctx, "bad", render.call("bad")))
		if err != nil {
			return "", err
		}
		if ctx.Metadata().Attempt == 0 {
			return "", errors.New("again, from what is remembered")
		}
		var te *runtime.TaskError
		if !errors.As(ends[1].Err, &te) {
			return "", ends[1].Err
		}
		return strings.Join([]string{step, sent, ends[0].Result, te.Reason}, ", "), nil
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "secret-signal", runtime.WithSendKey("secret-key")))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, "secret-step, secret-signal, secret-result x, secret-reason", got)
	es := journalOf(t, app, h.ID())
	require.Len(t, es, 4)
	for _, e := range es {
		assert.NotContains(t, fmt.Sprintf("%s %s %s", e.Value, e.Result, e.Reason), "secret", e.Name)
	}

	// What was stored for another task is not taken.
	other := enqueue(t, app, u.call(0))
	reaches(t, app, other.ID(), engine.StateWaiting)
	j, _ := engine.As[engine.Journaler](app.Engine())
	for _, e := range es {
		if e.Kind == engine.EntrySignal {
			require.NoError(t, j.Signal(t.Context(), other.ID(), e.Name, "", e.Value))
		}
	}
	rec := reaches(t, app, other.ID(), engine.StateRetrying)
	assert.Contains(t, rec.Reason, "signal approved: codec: encoded for")
}

// TestJournal_ShowsNoSecrets: a redacted parameter that is in a step, a signal, a
// name or a reason is not shown.
func TestJournal_ShowsNoSecrets(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2})
	redacting := func(s *wire.Spec) { s.Params = []wire.Param{{Name: "v", Sig: "T", Redact: true}} }
	render := newUnit[string, string]("press.Render", redacting)
	render.handle(app, func(_ *runtime.Context, s string) (string, error) {
		return "", runtime.Permanent(errors.New("no ink for " + s))
	})
	u := newUnit[string, string]("press.Publish", durably, redacting)
	u.handle(app, func(ctx *runtime.Context, s string) (string, error) {
		if _, err := runtime.Step(ctx, "of "+s, func(context.Context) (string, error) { return "step " + s, nil }); err != nil {
			return "", err
		}
		if _, err := runtime.AwaitEnds(ctx, runtime.Spawn(ctx, "child", render.call(s))); err != nil {
			return "", err
		}
		return approved.Await(ctx, 0)
	})
	start(t, app)
	h := enqueue(t, app, u.call("hunter2hunter2"))
	reaches(t, app, h.ID(), engine.StateWaiting)
	require.Eventually(t, func() bool {
		rec, err := app.Lookup(t.Context(), h.ID())
		return err == nil && rec.Reason == "waits for signal approved"
	}, time.Minute, time.Millisecond)
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "signal hunter2hunter2"))
	_, err := result(t, h)
	require.NoError(t, err)
	js, err := app.Journal(t.Context(), h.ID())
	require.NoError(t, err)
	require.Len(t, js, 3)
	b, err := json.Marshal(js)
	require.NoError(t, err)
	assert.NotContains(t, string(b), "hunter2")
	assert.Contains(t, string(b), "step [redacted]")
	assert.Contains(t, string(b), "no ink for [redacted]")
	assert.Equal(t, "press.Render", js[1].Task)
}
