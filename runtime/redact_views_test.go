package runtime_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/wire"
)

func secretUnit() unitTask[string, string] {
	return newUnit[string, string]("test.Hidden", func(s *wire.Spec) { s.Params[0].Redact = true })
}

// A secret is found in whichever way a text writes it.
//
// Proves: FEATURES 80, RELIABILITY 29
func TestRedact_WhateverMadeTheText(t *testing.T) {
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	forms := map[string]func(s string) string{
		"plain":        func(s string) string { return s },
		"trimmed":      strings.TrimSpace,
		"upper case":   strings.ToUpper,
		"indented":     func(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") },
		"JSON":         quote,
		"JSON in JSON": func(s string) string { return quote(`{"card":` + quote(s) + `}`) },
		"JSON of Postgres": func(s string) string {
			return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(quote(s))
		},
		"%q":             func(s string) string { return fmt.Sprintf("%q", s) },
		"%q of %q":       func(s string) string { return fmt.Sprintf("%q", fmt.Sprintf("%q", s)) },
		"%+q":            func(s string) string { return fmt.Sprintf("%+q", s) },
		"%x":             func(s string) string { return fmt.Sprintf("%x", s) },
		"%X":             func(s string) string { return fmt.Sprintf("id=%X;", s) },
		"% x":            func(s string) string { return fmt.Sprintf("% x", s) },
		"%# x":           func(s string) string { return fmt.Sprintf("%# x", s) },
		"%v of bytes":    func(s string) string { return fmt.Sprint([]byte(s)) }, //nolint:staticcheck // the numbers are the test
		"%#v of bytes":   func(s string) string { return fmt.Sprintf("%#v", []byte(s)) },
		"%v of runes":    func(s string) string { return fmt.Sprint([]rune(s)) },
		"%U of runes":    func(s string) string { return fmt.Sprintf("%U", []rune(s)) },
		"%c of runes":    func(s string) string { return fmt.Sprintf("%c", []rune(s)) },
		"%q of runes":    func(s string) string { return fmt.Sprintf("%q", []rune(s)) },
		"%x of runes":    func(s string) string { return fmt.Sprintf("%x", []rune(s)) },
		"base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64 of more": func(s string) string { return "data" + base64.RawURLEncoding.EncodeToString([]byte("ab"+s+"cd")) },
		"URL query":      url.QueryEscape,
		"URL path":       url.PathEscape,
		"HTML":           html.EscapeString,
		"hex dump":       func(s string) string { return hex.EncodeToString([]byte("{" + s + "}")) },
	}
	for _, secret := range []string{"canary-4111-1111", "ca<n>a&r\"y'Ünx-11", "canary-4111-1111\n", "a\\canary%41+x y", "canary one\ncanary two\n"} {
		call := secretUnit().call(secret)
		for name, form := range forms {
			text := form(secret)
			got := call.AnyCall.Redact("before " + text + " after")
			for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\t' }) {
				if line = strings.TrimSpace(line); len(line) < 4 {
					continue // the rest of brackets
				}
				assert.NotContains(t, got, line, "%s of %q", name, secret)
			}
			assert.Contains(t, got, "before ", "%s of %q", name, secret)
			assert.Contains(t, got, " after", "%s of %q", name, secret)
			assert.Contains(t, got, "[redacted]", "%s of %q", name, secret)
			assert.Equal(t, got, call.AnyCall.Redact(got), "again: %s of %q", name, secret)
		}
	}
}

// A long secret is found by its beginning, so that a text that was cut short
// does not show it.
func TestRedact_BeginningOfALongSecret(t *testing.T) {
	secret := strings.Repeat("0123456789abcdef", 200)
	call := secretUnit().call(secret)
	for _, n := range []int{64, 100, 3000, 3200} {
		assert.Equal(t, "is [redacted]!", call.AnyCall.Redact("is "+secret[:n]+"!"))
	}
	long := call.AnyCall.Redact(strings.Repeat("text ", 6500) + secret)
	assert.NotContains(t, long, "01234567")
	assert.Less(t, len(long), 33_000)
}

// What is shorter than four bytes, or a number of less than four digits, is no
// secret: it is in too many other texts.
//
// Proves: FEATURES 80
func TestRedact_ShortValuesAreNoSecrets(t *testing.T) {
	type card struct {
		Code  string
		Count int
		Live  bool
	}
	u := newUnit[card, runtime.Void]("test.Short", func(s *wire.Spec) { s.Params[0].Redact = true })
	const text = "decode 10 of 100 codes: true"
	assert.Equal(t, text, u.call(card{"c", 0, true}).AnyCall.Redact(text))
	assert.Equal(t, text, u.call(card{"cod", 100, true}).AnyCall.Redact(text))
	assert.Equal(t, "de[redacted] 10 of 100 [redacted]s: true", u.call(card{"code", 10, true}).AnyCall.Redact(text))
	assert.Equal(t, "pin [redacted]", u.call(card{"", 4711, true}).AnyCall.Redact("pin 4711"))
}

// Results and tags are given as they are to who asks for them by their type, and
// are shown without secrets.
//
// Proves: FEATURES 80, RELIABILITY 29
func TestRecord_ShowsResultsAndTagsWithoutSecrets(t *testing.T) {
	const secret = "canary-4111"
	var events safeBuffer
	app := newUnitApp(t, runtime.Config{Observers: []hook.Observer{hook.ObserverFunc(func(e hook.Event) {
		_, _ = fmt.Fprintf(&events, "%+v\n", e)
	})}})
	child := newUnit[int, runtime.Void]("test.Child")
	child.handle(app, func(*runtime.Context, int) (runtime.Void, error) { return runtime.Void{}, nil })
	type answer struct {
		Text   string
		Number int64
		Other  []string
	}
	children := make(chan *runtime.Handle[runtime.Void], 1)
	u := newUnit[string, answer]("test.Hidden", func(s *wire.Spec) { s.Params[0].Redact = true })
	u.handle(app, func(ctx *runtime.Context, s string) (answer, error) {
		assert.Equal(t, secret, ctx.Metadata().Tags.Get("card"))
		h, err := child.call(1, runtime.WithTag("card", s), runtime.WithTag("other", "x")).Enqueue(ctx, ctx.App())
		if err != nil {
			return answer{}, err
		}
		children <- h
		return answer{"charged " + s, 7, []string{"plain"}}, nil
	})
	start(t, app)
	ctx := context.Background()
	h, err := u.call(secret, runtime.WithTag("card", secret), runtime.WithTag("plan", "pro")).Enqueue(ctx, app)
	require.NoError(t, err)
	got, err := h.Wait(ctx)
	require.NoError(t, err)
	assert.Equal(t, "charged "+secret, got.Text)
	rec, err := h.Record(ctx)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Text":"charged [redacted]","Number":7,"Other":["plain"]}`, string(rec.Result))
	assert.Equal(t, map[string]string{"card": "[redacted]", "plan": "pro"}, rec.Tags.Map())
	of, err := (<-children).Record(ctx)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"card": "[redacted]", "other": "x"}, of.Tags.Map())
	require.NoError(t, app.Stop(ctx))
	assert.NotContains(t, events.String(), secret)
}
