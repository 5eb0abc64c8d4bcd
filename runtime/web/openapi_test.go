package web_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/web"
)

var update = flag.Bool("update", false, "write the description of the API")

// described is where the repository keeps the description of the API.
const described = "../../docs/openapi.json"

// TestOpenAPI_DescribesTheAPI: docs/openapi.json is what the handlers say, and the page
// of the API lists all that it describes.
//
// Proves: FEATURES 107
func TestOpenAPI_DescribesTheAPI(t *testing.T) {
	s := serve(t, newShop(t).App, web.Config{})
	a := s.get("api/openapi.json")
	require.Equal(t, http.StatusOK, a.StatusCode)
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, []byte(a.text), "", "  "))
	if *update {
		require.NoError(t, os.WriteFile(described, pretty.Bytes(), 0o644))
	}
	want, err := os.ReadFile(described)
	require.NoError(t, err)
	assert.Equal(t, string(want), pretty.String(), "go test ./runtime/web -run OpenAPI -update writes it")
	page := s.get("docs").text
	var doc document
	require.NoError(t, json.Unmarshal([]byte(a.text), &doc))
	assert.Greater(t, len(doc.Paths), 12)
	for path := range doc.Paths {
		assert.Contains(t, page, strings.TrimPrefix(path, "/"))
	}
}

// document is a description, as far as the tests read it.
type document struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name, In string
			Schema   map[string]any
		}
		RequestBody *struct {
			Content map[string]struct{ Schema map[string]any }
		}
		Responses map[string]struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]map[string]any }
}

// TestOpenAPI_AnswersAreAsDescribed: the body and the answer of each operation are as
// their schemas say.
//
// Proves: FEATURES 107
func TestOpenAPI_AnswersAreAsDescribed(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Fill(t.Context(), 16))
	require.NoError(t, shop.Count(t.Context(), time.Now()))
	s := serve(t, shop.App, web.Config{})
	var doc document
	require.NoError(t, json.Unmarshal([]byte(s.get("api/openapi.json").text), &doc))
	h, err := webtest.Mail("gone@example.com", "s", "", runtime.WithTag("a", "b")).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.Error(t, err)
	later, err := webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(time.Hour), runtime.WithQueue("archive")).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	id := h.ID().String()
	calls := []struct{ method, at, path, body string }{
		{"get", "/api/queues", "api/queues", ""},
		{"get", "/api/health", "api/health", ""},
		{"get", "/api/workers", "api/workers", ""},
		{"get", "/api/tasks", "api/tasks?limit=100&order=newest", ""},
		{"get", "/api/tasks", "api/tasks?brief=true&state=failed&state=running&since=1h&until=2000-01-01", ""},
		{"get", "/api/tasks/{id}", "api/tasks/" + id, ""},
		{"get", "/api/tasks/{id}/journal", "api/tasks/" + id + "/journal", ""},
		{"get", "/api/tasks/{id}/metadata", "api/tasks/" + id + "/metadata", ""},
		{"get", "/api/count", "api/count?state=failed,succeeded", ""},
		{"get", "/api/causes", "api/causes", ""},
		{"get", "/api/schedules", "api/schedules", ""},
		{"post", "/api/schedules/run", "api/schedules/run", `{"name":"daily digest"}`},
		{"get", "/api/paused", "api/paused", ""},
		{"post", "/api/pause", "api/pause", `{"queue":"reports"}`},
		{"post", "/api/resume", "api/resume", `{"queue":"reports"}`},
		{"get", "/api/limits", "api/limits", ""},
		{"post", "/api/limits", "api/limits", `{"rule":"mail.Send limit","most":3}`},
		{"get", "/api/history", "api/history?range=day", ""},
		{"get", "/api/history", "api/history?range=weeks&queue=mail", ""},
		{"get", "/api/graph", "api/graph", ""},
		{"get", "/api/definitions", "api/definitions", ""},
		{"post", "/api/tasks", "api/tasks", `{"name":"mail.Send","args":{"to":"x","subject":"y"},"delay":"1h","key":"k","tags":{"a":"b"},"queue":"mail","priority":2}`},
		{"post", "/api/tasks/{id}/retry", "api/tasks/" + id + "/retry", ""},
		{"post", "/api/tasks/{id}/run", "api/tasks/" + later.ID().String() + "/run", ""},
		{"post", "/api/tasks/{id}/cancel", "api/tasks/" + later.ID().String() + "/cancel", `{"reason":"no"}`},
		{"post", "/api/tasks/{id}/delete", "api/tasks/" + later.ID().String() + "/delete", "{}"},
		{"post", "/api/retry", "api/retry", `{"state":["failed"],"reason":"^card *$","limit":2}`},
		{"post", "/api/run", "api/run", `{"state":["scheduled"],"limit":1}`},
		{"post", "/api/cancel", "api/cancel", `{"queue":"mail","why":"no"}`},
		{"post", "/api/delete", "api/delete", `{"ids":["` + uuid.NewString() + `"]}`},
	}
	seen := map[string]bool{"get /api/events": true, "get /api/tasks/{id}/args": true} // the latter needs a codec
	for _, c := range calls {
		seen[c.method+" "+c.at] = true
		op, ok := doc.Paths[c.at][c.method]
		require.True(t, ok, "%s %s is not described", c.method, c.at)
		if c.body != "" && op.RequestBody != nil {
			var body any
			require.NoError(t, json.Unmarshal([]byte(c.body), &body))
			require.NoError(t, doc.fits(op.RequestBody.Content["application/json"].Schema, body, "body of "+c.path))
		}
		a := s.do(strings.ToUpper(c.method), c.path, map[bool]string{true: "application/json"}[c.body != ""], c.body)
		require.Equal(t, http.StatusOK, a.StatusCode, "%s: %s", c.path, a.text)
		var answer any
		require.NoError(t, json.Unmarshal([]byte(a.text), &answer))
		require.NoError(t, doc.fits(op.Responses["200"].Content["application/json"].Schema, answer, c.path))
	}
	for path, ops := range doc.Paths {
		for method := range ops {
			assert.True(t, seen[method+" "+path], "%s %s is described, and not tried here", method, path)
		}
	}
}

// fits checks a value by a schema, as far as the description uses schemas.
func (d *document) fits(schema map[string]any, v any, at string) error {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		if d.Components.Schemas[name] == nil {
			return fmt.Errorf("%s: there is no schema %s", at, ref)
		}
		return d.fits(d.Components.Schemas[name], v, at)
	}
	kinds := map[string]func() bool{
		"string":  func() bool { _, ok := v.(string); return ok },
		"boolean": func() bool { _, ok := v.(bool); return ok },
		"integer": func() bool { n, ok := v.(float64); return ok && n == float64(int64(n)) },
		"number":  func() bool { _, ok := v.(float64); return ok },
		"array":   func() bool { _, ok := v.([]any); return ok },
		"object":  func() bool { _, ok := v.(map[string]any); return ok },
	}
	if kind, ok := schema["type"].(string); ok && !kinds[kind]() {
		return fmt.Errorf("%s is %v, want a value of type %s", at, v, kind)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s is %v, want one of %v", at, v, enum)
	}
	if list, ok := v.([]any); ok && schema["items"] != nil {
		for i, e := range list {
			if err := d.fits(schema["items"].(map[string]any), e, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	}
	object, ok := v.(map[string]any)
	if !ok || schema["type"] != "object" {
		return nil
	}
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("%s has no %s", at, name)
		}
	}
	for name, e := range object {
		if p, ok := properties[name].(map[string]any); ok {
			if err := d.fits(p, e, at+"."+name); err != nil {
				return err
			}
		} else if more, ok := schema["additionalProperties"].(map[string]any); ok {
			if err := d.fits(more, e, at+"."+name); err != nil {
				return err
			}
		} else {
			return fmt.Errorf("%s has %s, which the schema does not", at, name)
		}
	}
	return nil
}

func TestAPI_WrongRequests(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	for path, want := range map[string]string{
		"api/tasks?sate=failed":       "there is no parameter",
		"api/tasks?state=lost":        "there is no state",
		"api/tasks?limit=-1":          "not negative",
		"api/tasks?limit=100000":      "at most 1000",
		"api/tasks?limit=1&limit=2":   "2 times",
		"api/tasks?order=sideways":    "oldest or newest",
		"api/tasks?since=yesterday":   "neither a time",
		"api/tasks?cursor=nonsense!":  "not a cursor",
		"tasks?cursor=nonsense!":      "not a cursor",
		"confirm?do=explode":          "there is no action",
		"confirm?do=retry&id=nothing": "not the id",
	} {
		a := s.get(path)
		assert.Equal(t, http.StatusBadRequest, a.StatusCode, path)
		assert.Contains(t, a.text, want, path)
	}
	for _, c := range []struct {
		path, body, want string
		code             int
	}{
		{"api/delete", `{}`, "neither a filter nor ids", 400},
		{"api/delete", `{"sate":["failed"]}`, "unknown field", 400},
		{"api/delete", `{"state":["failed"]`, "cannot be read", 400},
		{"api/delete", `{"state":["failed"]} {}`, "more follows", 400},
		{"api/delete", `{"state":["failed"],"ids":["` + uuid.NewString() + `"]}`, "both ids and a filter", 400},
		{"api/delete", `{"state":["failed"],"limit":-1}`, "negative", 400},
		{"api/delete?state=failed", `{"all":true}`, "no parameter", 400},
		{"api/tasks", `{"name":"none.Such"}`, "no task of this name", 404},
		{"api/tasks", `{"name":"mail.Send","args":{"to":1}}`, "parameter", 422},
		{"api/tasks", `{"name":"mail.Send","args":{"to":"x","subject":"y"},"delay":"soon"}`, "no duration", 400},
		{"api/tasks", `{"name":"mail.Send","args":{"to":"x","subject":"y"},"delay":"1h","due":"2030-01-01T00:00:00Z"}`, "both delay and due", 400},
		{"api/tasks", `{"name":"billing.Charge","args":{"customer":"x","cents":1,"card":4711}}`, "parameter", 422},
	} {
		a := s.post(c.path, c.body)
		assert.Equal(t, c.code, a.StatusCode, "%s %s: %s", c.path, c.body, a.text)
		assert.Contains(t, a.text, c.want, "%s %s", c.path, c.body)
		assert.NotContains(t, a.text, "4711")
	}
	a := s.do("POST", "api/delete", "text/plain", `{"all":true}`)
	assert.Equal(t, http.StatusUnsupportedMediaType, a.StatusCode)
	a = s.post("api/tasks", `{"name":"`+strings.Repeat("x", 17<<20)+`"}`)
	assert.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
	counts, err := shop.Counts(t.Context())
	require.NoError(t, err)
	assert.Empty(t, counts)
}
