//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGeneratedCode_CompilerMemory bounds what the compiler allocates for a task,
// beside its function. Its time follows from that, and cannot be tested on a busy
// machine; memory that is never collected is the same in each run.
func TestGeneratedCode_CompilerMemory(t *testing.T) {
	if testing.Short() || !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skip("the bound is of the compiler of Go 1.26")
	}
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	tools, err := findTools(dir, repo, []string{ours})
	require.NoError(t, err)
	s, err := newShape(filepath.Join(dir, "shape"), "300", repo, tasks)
	require.NoError(t, err)
	alone := compilerMemory(t, s)
	require.NoError(t, tools[0].run(tools[0].bin, s))
	each := (compilerMemory(t, s) - alone) / int64(s.items)
	t.Logf("%d KiB for a task", each)
	assert.LessOrEqual(t, each, int64(490), "KiB that the compiler allocates for a task")
}

// compilerMemory returns the KiB that the compiler takes for the package.
func compilerMemory(t *testing.T, s *shape) int64 {
	t.Helper()
	_, err := s.compile(1) // its imports, too
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(s.dir, "p0", "*.go"))
	require.NoError(t, err)
	args := append([]string{"-c=1", "-o", "p0.a", "-p", "shape.test/p0", "-complete", "-pack", "-importcfg", "importcfg"}, files...)
	tool, err := goOutput(s.dir, "tool", "-n", "compile")
	require.NoError(t, err)
	cmd := exec.Command(strings.TrimSpace(tool), args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "GOGC=off", "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) //nolint:unconvert // other systems have other types
}
