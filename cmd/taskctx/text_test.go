package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// hostile is what a terminal would act on, or not show: a colour, the clipboard,
// a title, an 8-bit control, a line that is written over, a line of its own, text
// that runs backwards, text that is not seen.
const hostile = "a\x1b[31m\x1b]52;c;ZXZpbA==\x07\x1b]0;t\x07\u009b2J\rok\nid  forged\tcol\v\f\b\x7f\u202egpj\u2066\u200b\u2028\ufeff日本\U000e0041z"

// raw are the characters that no output may have.
func rawIn(out string) (found []rune) {
	for _, r := range out {
		if r != '\n' && strings.ContainsRune("\x1b\x07\u009b\r\t\v\f\b\x7f\u202e\u2066\u200b\u2028\ufeff\U000e0041", r) {
			found = append(found, r)
		}
	}
	return found
}

func seedHostile(t *testing.T, url string) (id string) {
	t.Helper()
	ctx := context.Background()
	e, err := engines.Open(ctx, url)
	require.NoError(t, err)
	app := runtime.New(e, runtime.Config{Queues: []string{hostile}, KeepLogs: 10})
	task := glue.NewTask[billArgs, string](wire.Spec{
		Name: hostile, Func: "Bill", Queue: hostile, Params: []wire.Param{{Name: "customer", Sig: "string"}},
	}, (*billArgs).fields)
	glue.Register(app, task, func(ctx *runtime.Context, _ *billArgs) (string, error) {
		ctx.Logger(hostile).Info(hostile, hostile, hostile)
		ctx.Progress(1, 2, hostile)
		return "", errors.New(hostile)
	})
	require.NoError(t, app.Start(ctx))
	args := billArgs{hostile}
	h, err := task.Call(args.fields, []runtime.Option{runtime.WithTag(hostile, hostile)}).Enqueue(ctx, app)
	require.NoError(t, err)
	_, err = h.Wait(ctx)
	require.Error(t, err)
	require.NoError(t, app.Stop(ctx))
	require.NoError(t, e.Close())
	return h.ID().String()
}

// TestTaskctx_NothingOfATaskReachesTheTerminalRaw, in any command.
func TestTaskctx_NothingOfATaskReachesTheTerminalRaw(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
	id := seedHostile(t, url)
	for _, args := range []string{
		"list", "show " + id, "watch -times 1", "list -json", "show -json " + id, "watch -json -times 1",
		"list -ids", "list -state failed -last 5", "cancel " + id, "retry " + id,
	} {
		var out, errOut bytes.Buffer
		code := run(t.Context(), append([]string{"-engine", url}, strings.Fields(args)...), &out, &errOut)
		assert.Zero(t, code, "%s: %s", args, errOut.String())
		assert.Empty(t, rawIn(out.String()+errOut.String()), args)
		assert.NotContains(t, out.String(), "\nid  forged", args)
		if strings.Contains(args, "-json") {
			require.True(t, json.Valid(out.Bytes()), "%s: %s", args, out.String())
			assert.True(t, carries(t, out.Bytes(), hostile), "%s has what the task has: %s", args, out.String())
		}
	}
}

// carries reports whether a string, or a key, of the JSON is the text.
func carries(t *testing.T, raw []byte, text string) bool {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(raw, &v))
	var in func(v any) bool
	in = func(v any) bool {
		switch v := v.(type) {
		case string:
			return v == text
		case []any:
			for _, e := range v {
				if in(e) {
					return true
				}
			}
		case map[string]any:
			for k, e := range v {
				if k == text || in(e) {
					return true
				}
			}
		}
		return false
	}
	return in(v)
}

// TestTaskctx_ErrorsAreEscaped: an error may hold what was stored, or typed.
func TestTaskctx_ErrorsAreEscaped(t *testing.T) {
	for _, args := range [][]string{
		{"-engine", "\x1b[31m://x", "list"}, {"\x1b[31m"}, {"-engine", "memory:", "show", "\x1b[31m"}, {"-\x1b[31m"},
	} {
		var out, errOut bytes.Buffer
		assert.NotZero(t, run(t.Context(), args, &out, &errOut))
		assert.Empty(t, rawIn(out.String()+errOut.String()), "%q", args)
	}
}

// TestEncode_WhatIsNoJSON: a record whose parts cannot be written is written all
// the same.
func TestEncode_WhatIsNoJSON(t *testing.T) {
	var b bytes.Buffer
	r := &runtime.Record{
		Name: "n", Args: json.RawMessage("{broken"), Result: json.RawMessage("\xff"), Due: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	require.NoError(t, encode(escaper{&b}, r))
	assert.True(t, json.Valid(b.Bytes()), b.String())
	assert.Contains(t, b.String(), `"{broken"`)
}

// TestHelp_EachCommandAndTopic: help says of each what it is, and exits with 0.
func TestHelp_EachCommandAndTopic(t *testing.T) {
	help := func(name string) string {
		var out, errOut bytes.Buffer
		assert.Equal(t, 0, run(t.Context(), []string{"help", name}, &out, &errOut), name)
		assert.Empty(t, errOut.String(), name)
		return out.String()
	}
	all := help("")
	for _, c := range commands() {
		text := help(c.name)
		assert.Contains(t, text, "usage: taskctx "+c.name, c.name)
		assert.Contains(t, text, c.help, c.name)
		assert.Contains(t, all, c.help, c.name)
	}
	for name := range topics {
		assert.NotEmpty(t, help(name), name)
		assert.Contains(t, all, name)
	}
}
