package tsclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/tsclient"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
)

// TestClient_IsFresh: client.ts is what taskgen makes of the tasks.
func TestClient_IsFresh(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "tool", "taskgen", "schema", "-format", "ts").Output()
	require.NoError(t, err)
	got, err := os.ReadFile("client.ts")
	require.NoError(t, err)
	assert.Equal(t, string(out), string(got), "run go generate ./internal/tsclient")
}

// compiled compiles main.ts and client.ts, and returns the program. It skips the
// test where there is no compiler or no Node.js: "make typescript" fetches the
// compiler.
func compiled(t *testing.T) string {
	t.Helper()
	tsc := os.Getenv("TASKCTX_TSC")
	if tsc == "" {
		tsc, _ = exec.LookPath("tsc")
	}
	if _, err := exec.LookPath("node"); err != nil || tsc == "" {
		t.Skip("node or tsc is not there: see make typescript")
	}
	dir := t.TempDir()
	for _, name := range []string{"main.ts", "client.ts"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o666))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`), 0o666))
	cmd := exec.CommandContext(t.Context(), tsc, "--strict", "--noUncheckedIndexedAccess", "--noUnusedLocals",
		"--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "main.ts", "client.ts")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return filepath.Join(dir, "main.js")
}

// TestClient: a program in TypeScript is compiled with the client, strictly, and
// enqueues through the web API; the task gets each value as it was, to the last
// digit. What lacks a parameter is refused.
//
// Proves: FEATURES 116
func TestClient(t *testing.T) {
	program := compiled(t)
	got := make(chan tsclient.Charged, 1)
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: slog.New(slog.DiscardHandler)})
	tsclient.RegisterTasks(app)
	runtime.Supply[chan<- tsclient.Charged](app, got)
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
	schemas := compileSchemas(t)
	mux := http.NewServeMux()
	mux.Handle("/tasks/", http.StripPrefix("/tasks", web.Handler(app, web.Config{
		Logger: slog.New(slog.DiscardHandler),
		Allow: func(r *http.Request, a web.Action) error {
			assert.Equal(t, web.Enqueue, a)
			assert.Equal(t, "yes", r.Header.Get("X-Test"))
			return nil
		},
	})))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		schemas.check(t, body, answer.Code == http.StatusOK)
		w.WriteHeader(answer.Code)
		_, err = w.Write(answer.Body.Bytes())
		assert.NoError(t, err)
	}))
	t.Cleanup(server.Close)

	cmd := exec.CommandContext(t.Context(), "node", program, server.URL+"/tasks/")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	id, err := uuid.Parse(strings.TrimSpace(string(out)))
	require.NoError(t, err)

	note, big30 := "hello", new(big.Int)
	big30.SetString("123456789012345678901234567890", 10)
	order := tsclient.Order{
		ID: uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), Items: []tsclient.Money{{Currency: "EUR", Cents: math.MinInt64}},
		By: map[string]*tsclient.Money{`a"b`: {Currency: "é\u2028", Cents: 1}, "none": nil}, Note: &note,
		Photo: []byte{0, 255, 128}, Seq: math.MaxUint64, Grid: [2]uint8{1, 255}, Total: big30, Tree: tsclient.Tree{{}, {nil}},
		Parent: &tsclient.Order{ID: uuid.UUID{15: 1}},
	}
	select {
	case c := <-got:
		at, err := time.Parse(time.RFC3339Nano, "2024-02-29T23:59:58.123456789+01:00")
		require.NoError(t, err)
		assert.True(t, at.Equal(c.At), c.At)
		assert.Equal(t, at.Format(time.RFC3339Nano), c.At.Format(time.RFC3339Nano))
		assert.JSONEq(t, `{"any": [1, true, null, null]}`, string(c.Free))
		assert.Equal(t, tsclient.Charged{
			Order: order, Card: "4242", After: 1500 * time.Millisecond, At: c.At, Count: math.MaxInt64, Small: math.MinInt32,
			Ratio: 0.1, Free: c.Free, Places: []string{"a", "b"},
		}, c)
	case <-time.After(time.Minute):
		t.Fatal("the task did not run")
	}
	money, err := runtime.HandleOf[tsclient.Money](app, id).Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, tsclient.Money{Currency: "EUR", Cents: math.MaxInt64}, money)
	record, err := app.Lookup(t.Context(), id)
	require.NoError(t, err)
	text, err := json.Marshal(record)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "4242")
}

// schemas are what taskgen says of the tasks, compiled.
type schemas struct {
	request    *jsonschema.Schema            // of OpenAPI
	args       map[string]*jsonschema.Schema // of JSON Schema, by task
	asMessages map[string]*jsonschema.Schema // of AsyncAPI
}

func compileSchemas(t *testing.T) *schemas {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, format := range []string{"jsonschema", "openapi", "asyncapi"} {
		out, err := exec.CommandContext(t.Context(), "go", "tool", "taskgen", "schema", "-format", format).Output()
		require.NoError(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
		require.NoError(t, err)
		require.NoError(t, c.AddResource(format+".json", doc))
	}
	compile := func(at string) *jsonschema.Schema {
		s, err := c.Compile(at)
		require.NoError(t, err)
		return s
	}
	s := &schemas{args: map[string]*jsonschema.Schema{}, asMessages: map[string]*jsonschema.Schema{}}
	s.request = compile("openapi.json#/paths/~1api~1tasks/post/requestBody/content/application~1json/schema")
	for _, name := range []string{tsclient.ChargeTask, tsclient.TidyTask} {
		s.args[name] = compile("jsonschema.json#/properties/" + name + "/properties/args")
		s.asMessages[name] = compile("asyncapi.json#/channels/default/messages/" + name + "/payload")
	}
	return s
}

// check demands that the schemas allow what the server took, and nothing else.
func (s *schemas) check(t *testing.T, body []byte, taken bool) {
	request, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if !assert.NoError(t, err) {
		return
	}
	name := request.(map[string]any)["name"].(string)
	args := request.(map[string]any)["args"]
	assert.Equal(t, taken, s.request.Validate(request) == nil, "%v\n%s", s.request.Validate(request), body)
	assert.Equal(t, taken, s.args[name].Validate(args) == nil, "%s", body)
	assert.Equal(t, taken, s.asMessages[name].Validate(args) == nil, "%s", body)
}
