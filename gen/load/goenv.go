package load

import (
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// goEnv is the relevant part of the go command's environment: the variables of
// the process, and under them those of "go env -w".
type goEnv struct {
	process []string
	written map[string]string
	tags    []string
	odd     string // a flag in GOFLAGS that only the go command understands
}

// newGoEnv reads the environment. tags are those of the command line; they
// replace those of GOFLAGS, as in the go command.
func newGoEnv(process, tags []string) *goEnv {
	e := &goEnv{process: process, written: map[string]string{}, tags: tags}
	if name := e.file(); name != "" {
		data, _ := os.ReadFile(name) // no file is an empty one
		for line := range strings.Lines(string(data)) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				e.written[k] = v
			}
		}
	}
	for f := range strings.FieldsSeq(e.get("GOFLAGS")) {
		name, value, _ := strings.Cut(strings.TrimLeft(f, "-"), "=")
		switch name {
		case "tags":
			if tags == nil {
				e.tags = splitTags(value)
			}
		case "modfile", "overlay", "compiler", "C":
			e.odd = f
		}
	}
	return e
}

func splitTags(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// file returns the name of the file that "go env -w" writes.
func (e *goEnv) file() string {
	switch name := e.fromProcess("GOENV"); name {
	case "off":
		return ""
	case "":
		dir, err := os.UserConfigDir()
		if err != nil {
			return ""
		}
		return filepath.Join(dir, "go", "env")
	default:
		return name
	}
}

func (e *goEnv) fromProcess(key string) string {
	for i := len(e.process) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(e.process[i], key+"="); ok {
			return v
		}
	}
	return ""
}

// get returns a variable, "" if it is not set.
func (e *goEnv) get(key string) string {
	if v := e.fromProcess(key); v != "" {
		return v
	}
	return e.written[key]
}

// buildContext returns the context that decides which files belong to a build.
func (e *goEnv) buildContext() build.Context {
	ctxt := build.Default
	if v := e.get("GOOS"); v != "" {
		ctxt.GOOS = v
	}
	if v := e.get("GOARCH"); v != "" {
		ctxt.GOARCH = v
	}
	switch e.get("CGO_ENABLED") {
	case "1":
		ctxt.CgoEnabled = true
	case "0":
		ctxt.CgoEnabled = false
	default:
		ctxt.CgoEnabled = e.cgoByDefault(ctxt.GOOS, ctxt.GOARCH)
	}
	ctxt.BuildTags = e.tags
	return ctxt
}

// cgoByDefault reports whether the go command enables cgo by default: only for
// this machine's own system, and with a C compiler at hand.
func (e *goEnv) cgoByDefault(goos, goarch string) bool {
	if goos != runtime.GOOS || goarch != runtime.GOARCH || !cgoSystem(goos, goarch) {
		return false
	}
	if e.fromProcess("CC") != "" {
		return true
	}
	cc := "gcc"
	switch goos {
	case "darwin", "ios", "freebsd", "openbsd":
		cc = "clang"
	}
	return e.findsInPath(cc)
}

// cgoSystem reports whether cgo works on a system that a taskgen may run on.
func cgoSystem(goos, goarch string) bool {
	switch goos {
	case "js", "wasip1", "plan9":
		return false
	case "linux":
		return goarch != "ppc64"
	}
	return true
}

// findsInPath reports whether a program is in the PATH of the environment.
func (e *goEnv) findsInPath(program string) bool {
	for _, dir := range filepath.SplitList(e.fromProcess("PATH")) {
		if dir == "" {
			continue
		}
		if _, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return true
		}
	}
	return false
}

// modCache returns the directory of the module cache.
func (e *goEnv) modCache() string {
	if v := e.get("GOMODCACHE"); v != "" {
		return v
	}
	gopath := e.get("GOPATH")
	if gopath == "" {
		gopath = build.Default.GOPATH
	}
	return filepath.Join(filepath.SplitList(gopath + string(filepath.ListSeparator))[0], "pkg", "mod")
}
