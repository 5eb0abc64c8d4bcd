package load

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The files of a build are those of the toolchain that builds it, also where
// taskgen was built by another.
func TestLoad_FilesOfTheToolchain(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":       "module example.com/a\n\ngo 1.26\n",
		"a.go":         "package a\n\n//task:context\nfunc F() {}\n",
		"seed.go":      "//go:build goexperiment.randomizedheapbase64\n\npackage a\n\ntype Seed uint64\n",
		"seed_old.go":  "//go:build !goexperiment.randomizedheapbase64\n\npackage a\n\ntype Seed uint32\n",
		"level.go":     "//go:build amd64.v3\n\npackage a\n\ntype Level uint64\n",
		"level_old.go": "//go:build !amd64.v3\n\npackage a\n\ntype Level uint32\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, c := range []struct{ env, seed, level string }{
		{"GOEXPERIMENT=randomizedheapbase64", "uint64", "uint32"},
		{"GOEXPERIMENT=norandomizedheapbase64", "uint32", "uint32"},
		{"GOAMD64=v3", "uint64", "uint64"},
	} {
		env := append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "GOWORK=off", c.env)
		l, err := New(Config{Dir: dir, Env: env, Output: testOutput, Header: testHeader})
		require.NoError(t, err)
		pkgs, err := l.Load(context.Background(), []string{dir})
		require.NoError(t, err)
		require.Len(t, pkgs, 1)
		assert.Empty(t, pkgs[0].Errors, c.env)
		for name, want := range map[string]string{"Seed": c.seed, "Level": c.level} {
			assert.Equal(t, want, pkgs[0].Types.Scope().Lookup(name).Type().Underlying().String(), "%s with %s", name, c.env)
		}
	}
}
