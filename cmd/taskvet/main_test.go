package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/vetprograms"
)

// TestVet: the go command runs the tool, or it runs by itself, on a program with
// mistakes, on one without, and on this repository, in which there are none. There it
// reads what tools/test.sh compiles for its tests, rather than have all compiled again.
func TestVet(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "taskvet")
	if runtime.GOOS == "windows" {
		tool += ".exe"
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	programs := vetprograms.Copy(t, "../..")
	repository, err := filepath.Abs("../..")
	require.NoError(t, err)

	for _, c := range []struct {
		name, dir string
		args      []string
		want      []string // nothing else is said
	}{
		{"under go vet", programs, []string{"go", "vet", "-vettool=" + tool, "./shop", "./ledger"}, shop},
		{"by itself", programs, []string{tool, "./shop", "./ledger"}, shop},
		{"only one analyzer", programs, []string{"go", "vet", "-vettool=" + tool, "-tasksleep", "./mailer"}, []string{"time.Sleep"}},
		{"this repository", repository, []string{tool, "./..."}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.dir == repository && testing.Short() {
				t.Skip("it compiles what all packages import")
			}
			cmd := exec.CommandContext(t.Context(), c.args[0], c.args[1:]...)
			cmd.Dir, cmd.Env = c.dir, append(os.Environ(), "GOWORK=off")
			if flags := os.Getenv("TASKCTX_TEST_FLAGS"); c.dir == repository && flags != "" {
				cmd.Env = append(cmd.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" "+flags))
			}
			out, err := cmd.CombinedOutput()
			assert.Equal(t, len(c.want) > 0, err != nil, "exit: %v\n%s", err, out)
			var said []string
			for line := range strings.Lines(string(out)) {
				if !strings.HasPrefix(line, "#") && !strings.Contains(line, "the transaction begins here") {
					said = append(said, line)
				}
			}
			require.Len(t, said, len(c.want), string(out))
			for _, want := range c.want {
				i := slices.IndexFunc(said, func(line string) bool { return strings.Contains(line, want) })
				if assert.GreaterOrEqual(t, i, 0, "%q is not said by\n%s", want, out) {
					said = slices.Delete(said, i, i+1)
				}
			}
		})
	}
}

var shop = []string{
	"time.Sleep in a task",
	"runtime.Cancelled is an error",
	"beside the open transaction tx",
	"beside the open transaction tx",
	"the calls in b are never enqueued",
	"nobody enqueues",
	"Stop waits for running tasks",
}
