package growth

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/gen"
)

// TestGrowth_Processes finds what the matrix says, with a program of its own for each
// version of the order: one enqueues tasks into a SQLite file, and another runs them.
//
// Proves: FEATURES 73, 115
func TestGrowth_Processes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program for each version")
	}
	programs := map[*version]string{}
	for _, c := range changes {
		for _, v := range []*version{c.from, c.to} {
			if programs[v] == "" {
				programs[v] = program(t, v)
			}
		}
	}
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	for _, c := range changes {
		across := func(producer, worker *version) string {
			empty, full := exchange(t, programs, producer, worker)
			return inWords(empty, full)
		}
		require.Equal(t, "runs", across(c.from, c.from), c.what)
		require.Equal(t, "runs", across(c.to, c.to), c.what)
		row := "| " + c.what + " | " + across(c.from, c.to) + " | " + across(c.to, c.from) + " | "
		assert.Contains(t, string(text), row)
	}
}

// exchange has one program enqueue the two calls of its version, and another one run
// them, and reports which of them ran, with all that was sent.
func exchange(t *testing.T, programs map[*version]string, producer, worker *version) (empty, full bool) {
	t.Helper()
	tasks := filepath.Join(t.TempDir(), "tasks.db")
	calls := []string{string(producer.empty.AnyCall.Args()), string(producer.full.AnyCall.Args())}
	ids := output(t, programs[producer], append([]string{tasks, "send"}, calls...)...)
	require.Len(t, ids, 2)
	outcomes := output(t, programs[worker], append([]string{tasks, "work"}, ids...)...)
	require.Len(t, outcomes, 2)
	var ran [2]bool
	for i, got := range outcomes {
		if ran[i] = got != "parked"; ran[i] {
			same(t, []byte(calls[i]), got, worker)
		}
	}
	return ran[0], ran[1]
}

func output(t *testing.T, program string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %q", filepath.Base(program), args)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// program builds the program of a version, in a module of its own: the task has one name in
// all of them, which one module cannot have twice.
func program(t *testing.T, v *version) string {
	t.Helper()
	dir := t.TempDir()
	module(t, dir)
	main, err := os.ReadFile("testdata/main.go")
	require.NoError(t, err)
	write(t, dir, "main.go", string(main))
	write(t, dir, "tasks.go", "package main\n\nimport (\n\t\"context\"\n\t\"encoding/json\"\n\t\"time\"\n)\n\nvar _ time.Time\n\n"+
		declarations(t)+"// Order is the order.\ntype Order = "+v.order+`

//task:context name=growth.Take
func Take(ctx context.Context, order Order) (string, error) {
	b, err := json.Marshal(order)
	return string(b), err
}
`)
	env := append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	res, err := gen.Run(t.Context(), gen.Config{Dir: dir, Env: env})
	require.NoError(t, err)
	require.Empty(t, res.Diagnostics)
	file := filepath.Join(dir, v.order)
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", file, ".")
	build.Dir, build.Env = dir, env
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return file
}
