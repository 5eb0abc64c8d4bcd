package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/tasktest"
)

// asProgram makes this test binary the program.
const asProgram = "TASKCTX_PUBLISH"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// source is a folder of packages: one that does not parse, if broken.
func source(t *testing.T, broken bool) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"a/a.go":        "// Package a is <b>first</b>.\npackage a\n\n// T is a type.\ntype T int\n\n// M is a method.\nfunc (T) M() {}\n",
		"a/a_test.go":   "package a\n",
		"b/c/c.go":      "// Package c is below.\npackage c\n\n// Limit is how many.\nconst Limit = 3\n\n// F does it.\nfunc F(n int) error { return nil }\n",
		"d/d.go":        "// Package d is last.\npackage d\n",
		"testdata/x.go": "package x\n",
	}
	if broken {
		files["e/e.go"] = "package e\n\nfunc {\n"
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// program is a process of the program.
type program struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, append([]string{"-addr", "localhost:0", "-embargo", "10ms"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), asProgram+"=1"), os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return &program{cmd, bufio.NewReader(out)}
}

// line waits for a line of the program that has the text.
func (p *program) line(t *testing.T, text string) string {
	t.Helper()
	for {
		line, err := p.out.ReadString('\n')
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
		require.NoError(t, err, "the program does not print %q", text)
	}
}

// TestPublish: the program is killed in the middle; started again it goes on, waits
// for the approval in the browser, and puts the site into its place.
func TestPublish(t *testing.T) {
	dir, src := t.TempDir(), source(t, false)
	p := start(t, dir, "-crash", "1", src)
	p.line(t, "killed after")
	_, err := io.Copy(io.Discard, p.out)
	require.NoError(t, err)
	require.Error(t, p.cmd.Wait())
	assert.NoDirExists(t, filepath.Join(dir, "site"))

	p = start(t, dir, src)
	p.line(t, "going on with")
	_, desk, _ := strings.Cut(p.line(t, "approve it, at http://"), " at ")
	p.line(t, "it waits for signal approved")
	assert.Contains(t, get(t, desk), "The site is waiting")
	assert.Contains(t, get(t, desk+"preview/a.html"), "Package a is &lt;b&gt;first&lt;/b&gt;.")
	assert.NoDirExists(t, filepath.Join(dir, "site"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, desk+"approval",
		strings.NewReader(url.Values{"by": {"ann"}, "ok": {"true"}}.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	p.line(t, "3 pages are in "+filepath.Join("site", "index.html"))
	_, err = io.Copy(io.Discard, p.out)
	require.NoError(t, err)
	require.NoError(t, p.cmd.Wait())

	index, err := os.ReadFile(filepath.Join(dir, "site", "index.html"))
	require.NoError(t, err)
	assert.Contains(t, string(index), `<a href="b.c.html">b/c</a><td>Package c is below.`)
	page, err := os.ReadFile(filepath.Join(dir, "site", "b.c.html"))
	require.NoError(t, err)
	assert.Contains(t, string(page), "func F(n int) error</pre>")
	assert.NoDirExists(t, filepath.Join(dir, "site.staging"))
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	b, err := io.ReadAll(res.Body)
	require.NoError(t, errors.Join(err, res.Body.Close()))
	return string(b)
}

// TestPublish_DyingEverywhere: the task in virtual time, its pages faked.
func TestPublish_DyingEverywhere(t *testing.T) {
	order := func() Order { return Order{source(t, false), filepath.Join(t.TempDir(), "site"), time.Hour} }
	o := order()
	n, err := tasktest.Play(t, RegisterTasks, PublishCall(o), tasktest.RunChildren(),
		tasktest.Send(70*time.Hour, Approved, Approval{"ann", true}))
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	n, err = tasktest.Play(t, RegisterTasks, PublishCall(o), tasktest.RunChildren(), tasktest.DyingEverywhere(),
		tasktest.Send(70*time.Hour, Approved, Approval{"ann", true}))
	require.NoError(t, err)
	assert.Equal(t, 3, n)
}

func TestPublish_OfWhatDoesNotParse(t *testing.T) {
	o := Order{source(t, true), filepath.Join(t.TempDir(), "site"), 0}
	_, err := tasktest.Play(t, RegisterTasks, PublishCall(o), tasktest.RunChildren())
	var failed *runtime.TaskError
	require.ErrorAs(t, err, &failed)
	assert.Contains(t, failed.Reason, "package e: ")
	_, err = tasktest.Play(t, RegisterTasks, PublishCall(Order{Source: t.TempDir()}))
	require.ErrorContains(t, err, "no Go files")
}

func TestRun_Arguments(t *testing.T) {
	require.ErrorContains(t, run(context.Background(), nil), "name one folder")
}
