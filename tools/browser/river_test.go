package browser_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime/engines"
)

// River's own dashboard shows the tasks of the schema that RIVER_SCHEMA names, as
// docs/coming-from-river.md has it.
func TestRiverUI_ReadsTheSchema(t *testing.T) {
	program := filepath.Join(t.TempDir(), "riverui")
	out, err := exec.Command("go", "build", "-o", program, "riverqueue.com/riverui/cmd/riverui").CombinedOutput()
	require.NoError(t, err, "%s", out)

	url := servertest.NewPostgres(t).URL
	e, err := engines.Open(t.Context(), url)
	require.NoError(t, err)
	shop := webtest.New(e, silent)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	h, err := webtest.Mail("ann@example.com", "Your order", "Thank you.").Enqueue(t.Context(), shop.App)
	require.NoError(t, err)
	record, err := shop.Lookup(t.Context(), h.ID())
	require.NoError(t, err)

	page, err := os.ReadFile("../../docs/coming-from-river.md")
	require.NoError(t, err)
	schema := regexp.MustCompile("RIVER_SCHEMA=[a-z]+").FindString(string(page))
	at := "http://" + riverUI(t, program, "DATABASE_URL="+url, schema)
	var jobs struct {
		Data []struct {
			Kind, State, Queue string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(get(t, at+"/api/jobs?state=available")), &jobs))
	require.Len(t, jobs.Data, 1)
	assert.Equal(t, record.Name, jobs.Data[0].Kind)
	assert.Equal(t, record.Queue, jobs.Data[0].Queue)
	assert.Contains(t, get(t, at+"/"), "<title>River</title>")
}

// riverUI starts the program, and returns where it listens.
func riverUI(t *testing.T, program string, env ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), append(env, "RIVER_HOST=127.0.0.1", "PORT="+port)...)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	return addr
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}
