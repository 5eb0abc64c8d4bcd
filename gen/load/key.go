package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// keyVars are the variables that change a build. PATH is not among them, but
// the go command that it leads to is.
var keyVars = []string{
	"GOFLAGS", "GOEXPERIMENT", "GOOS", "GOARCH", "CGO_ENABLED", "GOTOOLCHAIN", "GOROOT", "GOPATH", "GOMODCACHE",
	"GOCACHE", "GOWORK", "GO111MODULE", "GOAMD64", "GOARM", "GOARM64", "GO386", "GOMIPS", "GOMIPS64", "GOPPC64",
	"GORISCV64", "GOWASM", "GOFIPS140", "GODEBUG", "CC", "CGO_CFLAGS", "CGO_CPPFLAGS", "HOME", "XDG_CACHE_HOME",
}

// Key identifies this toolchain, environment and set of module files. If it is
// "", nothing may be cached, since they could not be identified.
func (l *Loader) Key() string {
	if l.key == "" {
		l.key = l.makeKey()
	}
	if l.key == "none" {
		return ""
	}
	return l.key
}

func (l *Loader) makeKey() string {
	h := sha256.New()
	tool := toolchain(l.env)
	if tool == "" || l.env.odd != "" {
		return "none"
	}
	fmt.Fprintf(h, "v2\n%s\ndir %s\ntags %q cgo %t\n", tool, l.mods.root, l.env.tags, l.ctxt.CgoEnabled)
	for _, v := range keyVars {
		fmt.Fprintf(h, "%s=%q\n", v, l.env.get(v))
	}
	for _, name := range l.mods.files {
		data, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			return "none"
		}
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// toolchain describes the go command: its place, and the version of its
// GOROOT. A development toolchain without a version may change in place, and
// gives "".
func toolchain(env *goEnv) string {
	name, err := exec.LookPath("go")
	if err != nil {
		return ""
	}
	if name, err = filepath.EvalSymlinks(name); err != nil {
		return ""
	}
	roots := []string{filepath.Dir(filepath.Dir(name))}
	if r := env.get("GOROOT"); r != "" {
		roots = slices.Insert(roots, 0, r)
	}
	for _, root := range roots {
		version, err := os.ReadFile(filepath.Join(root, "VERSION"))
		if err == nil && strings.HasPrefix(string(version), "go") {
			return fmt.Sprintf("%s\n%s\n%s", name, root, version)
		}
	}
	return ""
}
