package parcels_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
)

const module = "github.com/taskctx/taskctx/examples/parcels/"

// TestWeb_LinksNoWorkerCode: the program that enqueues has nothing of what runs.
//
// Proves: FEATURES 113
func TestWeb_LinksNoWorkerCode(t *testing.T) {
	deps := func(program string) []string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+program).Output()
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
	web, worker := deps("web"), deps("worker")
	assert.Contains(t, web, module+"parcel")
	for _, pkg := range []string{module + "depot", module + "van"} {
		assert.NotContains(t, web, pkg)
		assert.Contains(t, worker, pkg)
	}
}

// programs builds web and worker, and returns the folder that they are in.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator), "./web", "./worker")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	for _, name := range []string{"web", "worker"} {
		st, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", filepath.Join(dir, name)).Output()
		require.NoError(t, err)
		own := bytes.Count(symbols, []byte(module+"depot")) + bytes.Count(symbols, []byte(module+"van"))
		t.Logf("%s: %d bytes, %d symbols of the tasks' packages", name, st.Size(), own)
		assert.Equal(t, name == "worker", own > 0)
	}
	return dir
}

// start runs a program until the test ends, and returns what it logs.
func start(t *testing.T, program string, args ...string) *bufio.Scanner {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	r, w := io.Pipe()
	cmd.Stderr = w
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = w.Close() // who reads what it logs need not wait for more
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		go func() { _, _ = io.Copy(io.Discard, r) }()
		err := <-ended
		assert.True(t, err == nil || strings.Contains(err.Error(), "context canceled"), "%s: %v", program, err)
	})
	return bufio.NewScanner(r)
}

// seen reads lines until the pattern matches, and goes on reading.
func seen(t *testing.T, lines *bufio.Scanner, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for lines.Scan() {
		if m := re.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() {
				}
			}()
			return m
		}
	}
	t.Fatalf("no line like %s", pattern)
	return nil
}

// TestParcels: the two programs, as they are, on each engine that processes share.
// The orders come from the client in TypeScript where a compiler is at hand ("make
// typescript"), else as the same requests by hand.
func TestParcels(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	dir := programs(t)
	for name, open := range map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "tasks.db") },
		"postgres": func(t *testing.T) string {
			return servertest.Postgres(t)
		},
		"redis": func(t *testing.T) string {
			url, _ := servertest.Redis(t)
			return url
		},
		"redis cluster of one shard": func(t *testing.T) string { return servertest.NewRedisCluster(t, 1)[0].URL + "0" },
		"redis cluster":              func(t *testing.T) string { return servertest.NewRedisCluster(t, 3)[2].URL + "0" },
	} {
		t.Run(name, func(t *testing.T) { order(t, dir, open(t)) })
	}
}

const orders = 10

// order sends orders to web, and waits until the worker has done with them.
func order(t *testing.T, dir, url string) {
	worker := start(t, filepath.Join(dir, "worker"), "-engine", url)
	seen(t, worker, "worker started")
	web := start(t, filepath.Join(dir, "web"), "-engine", url, "-addr", "localhost:0")
	api := "http://" + seen(t, web, `listening addr=(\S+)`)[1] + "/tasks/"
	if program := typescript(t); program != "" {
		out, err := exec.CommandContext(t.Context(), "node", program, api, fmt.Sprint(orders)).CombinedOutput()
		require.NoError(t, err, string(out))
	} else {
		byHand(t, api)
	}
	eng, err := engines.Open(t.Context(), url)
	require.NoError(t, err)
	defer func() { assert.NoError(t, eng.Close()) }()
	want := map[string]int{"depot.Depot.Pack": orders, "van.Van.Deliver": orders, "depot.Depot.TakeBack": orders / 2}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		for name, n := range want {
			list, _, err := eng.List(context.Background(), engine.Query{Name: name, States: []engine.State{engine.StateSucceeded}, Limit: 100})
			require.NoError(t, err)
			assert.Len(t, list, n, name)
		}
	}, 30*time.Second, 50*time.Millisecond)
}

// byHand sends the requests that the client sends.
func byHand(t *testing.T, api string) {
	t.Helper()
	for i := range orders {
		to := "Ann"
		if i%2 == 1 {
			to = "nobody"
		}
		body := fmt.Sprintf(`{"name": "depot.Depot.Pack", "args": {"p": {"id": "p-%d", "to": %q, "grams": %d}}}`, i, to, i+1)
		require.Equal(t, http.StatusOK, post(t, api, body))
	}
	require.Equal(t, http.StatusUnprocessableEntity, post(t, api, `{"name": "depot.Depot.Pack", "args": {"p": {"id": "p"}}}`))
}

func post(t *testing.T, api, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+"api/tasks", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { assert.NoError(t, res.Body.Close()) }()
	var answer map[string]any
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	return res.StatusCode
}

// typescript compiles the client, and returns the program, "" where there is no
// compiler or no Node.js.
func typescript(t *testing.T) string {
	t.Helper()
	tsc := os.Getenv("TASKCTX_TSC")
	if _, err := exec.LookPath("node"); err != nil || tsc == "" {
		t.Log("without TypeScript: see make typescript")
		return ""
	}
	dir := t.TempDir()
	for _, name := range []string{"main.ts", "client.ts"} {
		text, err := os.ReadFile(filepath.Join("web", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o666))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`), 0o666))
	cmd := exec.CommandContext(t.Context(), tsc, "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom",
		"main.ts", "client.ts")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return filepath.Join(dir, "main.js")
}
