package buildtag_test

import (
	"go/build/constraint"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/gen/buildtag"
)

func parse(t *testing.T, text string) constraint.Expr {
	t.Helper()
	if text == "" {
		return nil
	}
	e, err := constraint.Parse("//go:build " + text)
	require.NoError(t, err)
	return e
}

func TestOf_ReadsWhatTheGoCommandReads(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"a.go", "package a\n", ""},
		{"a.go", "//go:build linux\n\npackage a\n", "linux"},
		{"a.go", "// +build linux\n\npackage a\n", "linux"},
		{"a.go", "// +build linux darwin\n// +build amd64\n\npackage a\n", "(linux || darwin) && amd64"},
		{"a.go", "// +build linux\npackage a\n", ""}, // the document of the package
		{"a.go", "//go:build linux\n// +build windows\n\npackage a\n", "linux"},
		{"a.go", "// Copyright\n\n/* +build windows\n// +build windows\n\n*/\n\n//go:build linux\n\npackage a\n", "linux"},
		{"a.go", "package a\n\n// +build linux\n\n//go:build linux\n", ""},
		{"a.go", "\xef\xbb\xbf//go:build linux\r\n\r\npackage a\r\n", "linux"},
		{"a_linux.go", "package a\n", "linux"},
		{"a_linux_amd64.go", "package a\n", "linux && amd64"},
		{"a_linux_test.go", "package a\n", "linux"},
		{"a_linux.pb.go", "package a\n", "linux"},
		{"linux.go", "package a\n", ""},
		{"a_test.go", "package a\n", ""},
		{"a_windows.go", "//go:build amd64\n\npackage a\n", "amd64 && windows"},
	} {
		e := buildtag.Of("/dir/"+c.name, []byte(c.src))
		assert.True(t, buildtag.Same(e, parse(t, c.want)), "%s %q: %q, not %q", c.name, c.src, buildtag.String(e), c.want)
	}
}

func TestSame_ComparesBuildsNotWords(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"linux && amd64", "amd64 && linux", true},
		{"!(linux || windows)", "!linux && !windows", true},
		{"linux || !linux", "", true},
		{"go1.21", "", true},
		{"go1.99", "", false},
		{"unix && !windows", "unix", true},
		{"linux && unix", "linux", true},
		{"linux", "linux && !android", false},
		{"unix || windows || plan9 || js || wasip1", "", true},
		{"js", "js && wasm", true},
		{"cgo", "", false},
		{"gc", "!gccgo", true},
		{"a && (b || c)", "a && b || a && c", true},
		{"darwin || ios", "darwin", true},
		{"linux", "windows", false},
		{"linux && windows", "plan9 && solaris", true},
	} {
		assert.Equal(t, c.same, buildtag.Same(parse(t, c.a), parse(t, c.b)), "%q, %q", c.a, c.b)
	}
}

func TestPossible_KnowsThatABuildHasOneSystem(t *testing.T) {
	for text, want := range map[string]bool{
		"linux && windows": false, "linux && unix": true, "windows && unix": false, "amd64 && arm64": false,
		"linux && android": true, "linux && !linux": false, "": true, "integration && linux": true, "js && amd64": true,
		"a1 && a2 && a3 && a4 && a5 && a6 && a7 && a8 && a9 && a10 && a11 && a12": true,
	} {
		assert.Equal(t, want, buildtag.Possible(parse(t, text)), text)
	}
}

func TestSet_LeavesSystemsAndVersionsFree(t *testing.T) {
	has := func(tag string) bool { return tag == "mine" || tag == "goexperiment.jsonv2" }
	for text, want := range map[string]string{
		"linux && amd64 && unix": "", "go1.21": "", "go1.27 || !go1.99": "", "mine": "mine", "other": "!other",
		"goexperiment.jsonv2 && linux": "goexperiment.jsonv2", "!amd64.v3": "!amd64.v3", "": "",
	} {
		assert.Equal(t, want, buildtag.String(buildtag.Set(parse(t, text), has)), text)
	}
}

func TestOfToolchain(t *testing.T) {
	for text, want := range map[string]bool{
		"linux": false, "go1.26": false, "!go1.27": true, "goexperiment.jsonv2 || mine": true, "amd64.v2": true, "": false,
	} {
		assert.Equal(t, want, buildtag.OfToolchain(parse(t, text)), text)
	}
}
