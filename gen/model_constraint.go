package gen

import (
	"path/filepath"
	"slices"
	"strings"
)

const slash = filepath.Separator

// nameConstraint returns the constraint that a file's name stands for:
// "mail_linux.go" is built for linux only.
func nameConstraint(name string) []string {
	name = strings.TrimSuffix(filepath.Base(name), ".go")
	_, name, ok := strings.Cut(name, "_")
	if !ok {
		return nil
	}
	parts := strings.Split(name, "_")
	last := parts[len(parts)-1]
	if len(parts) >= 2 && knownArch[last] && knownOS[parts[len(parts)-2]] {
		return []string{parts[len(parts)-2] + " && " + last}
	}
	if knownArch[last] || knownOS[last] {
		return []string{last}
	}
	return nil
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range slices.Values(strings.Fields(words)) {
		m[w] = true
	}
	return m
}

// The names that the go command knows, as in internal/syslist.
var (
	knownOS = set("aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 " +
		"solaris wasip1 windows zos")
	knownArch = set("386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 " +
		"mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm")
)
