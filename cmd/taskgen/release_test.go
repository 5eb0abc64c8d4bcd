package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const released = "v0.1.0"

// release makes a module proxy of this repository's files, as of the version, and
// returns its folder and the size of what is downloaded.
func release(t *testing.T, repo string) (dir string, size int64) {
	t.Helper()
	dir = t.TempDir()
	at := filepath.Join(dir, "github.com", "taskctx", "taskctx", "@v")
	require.NoError(t, os.MkdirAll(at, 0o777))
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	require.NoError(t, err)
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, released, time.Now().UTC().Format(time.RFC3339))
	for name, text := range map[string]string{"list": released + "\n", released + ".info": info, released + ".mod": string(mod)} {
		require.NoError(t, os.WriteFile(filepath.Join(at, name), []byte(text), 0o666))
	}
	f, err := os.Create(filepath.Join(at, released+".zip"))
	require.NoError(t, err)
	version := module.Version{Path: "github.com/taskctx/taskctx", Version: released}
	require.NoError(t, zip.CreateFromDir(f, version, repo), "a file that no module may have")
	st, err := f.Stat()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return dir, st.Size()
}

// TestRelease: the steps of the README, with a version from a proxy and nothing in
// the module cache: go get, go get -tool, go generate and go install.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("it downloads and compiles all that a user does")
	}
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	// Other modules are in this machine's module cache, which is a proxy too.
	if out, err := exec.CommandContext(t.Context(), "go", "mod", "download").CombinedOutput(); err != nil {
		t.Skipf("the modules cannot be had: %v\n%s", err, out)
	}
	ours, size := release(t, repo)
	t.Logf("the module is %d kB to download", size/1000)
	dir := t.TempDir()
	u := &user{dir: filepath.Join(dir, "shop"), repo: repo}
	require.NoError(t, os.Mkdir(u.dir, 0o777))
	cache, bin := filepath.Join(dir, "cache"), filepath.Join(dir, "bin")
	u.env = append(os.Environ(), "GOPROXY="+url(ours)+","+url(filepath.Join(goEnv["GOMODCACHE"], "cache", "download")),
		"GOSUMDB=off", "GOWORK=off", "GOFLAGS=-modcacherw", "GOMODCACHE="+cache, "GOBIN="+bin, "GOPRIVATE=", "GONOPROXY=",
		"TASKGENCACHE="+filepath.Join(dir, "taskgen"))
	u.must(t, "go", "mod", "init", "shop.test")
	u.write(t, "shop.go", "package shop\n\n//go:generate go tool taskgen\n\nimport \"context\"\n\n"+
		"//task:context\nfunc Ping(ctx context.Context, n int) error { return nil }\n")
	for _, command := range u.readme(t, "## Use it", 0) {
		u.must(t, command...)
		t.Logf("%s: %s", strings.Join(command, " "), downloaded(t, cache))
	}
	u.must(t, "go", "generate", "./...")
	u.must(t, "go", "vet", "./...")
	assert.Contains(t, u.must(t, "go", "tool", "taskgen", "-version"), "taskgen "+released)
	assert.Contains(t, u.read(t, "go.mod"), "github.com/taskctx/taskctx "+released)
	assert.NotContains(t, u.read(t, "go.mod"), "replace")
	t.Logf("in all: %s", downloaded(t, cache))
	t.Logf("go.mod has %d lines, go.sum %d", strings.Count(u.read(t, "go.mod"), "\n"), strings.Count(u.read(t, "go.sum"), "\n"))

	// A program with tasks in memory links none of what the engines on servers need.
	out := u.must(t, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	modules := map[string]bool{}
	for _, m := range strings.Fields(out) {
		modules[m] = true
	}
	assert.Equal(t, map[string]bool{"shop.test": true, "github.com/taskctx/taskctx": true, "github.com/google/uuid": true}, modules)

	u.must(t, "go", "install", "github.com/taskctx/taskctx/cmd/taskgen@"+released)
	st, err := os.Stat(filepath.Join(bin, "taskgen"))
	require.NoError(t, err)
	t.Logf("go install taskgen: a binary of %d kB; %s", st.Size()/1000, downloaded(t, cache))
	u.must(t, "go", "install", "-n", "github.com/taskctx/taskctx/cmd/taskctx@"+released) // all but compiling
	t.Logf("go install taskctx, with all engines: %s", downloaded(t, cache))
	version := u.must(t, filepath.Join(bin, "taskgen"), "-version")
	assert.Regexp(t, `^taskgen `+released+` go1\.\d+`, version)
}

func url(dir string) string { return "file://" + filepath.ToSlash(dir) }

// downloaded says what the go command fetched so far.
func downloaded(t *testing.T, cache string) string {
	t.Helper()
	var modules, bytes int64
	err := filepath.WalkDir(filepath.Join(cache, "cache", "download"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".zip") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		modules, bytes = modules+1, bytes+info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d modules, %d kB downloaded", modules, bytes/1000)
}
