package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// peersDir is the module that pins the other generators.
const peersDir = "tools/peers"

// peers are other generators, each run as go generate would run it, on an
// input with one thing to generate for each item.
func peers() []tool {
	return []tool{
		{name: "moq", pkg: "github.com/matryer/moq", input: ifaces, output: "moq_gen.go", run: func(bin string, s *shape) error {
			for k := range s.packages {
				args := append([]string{"-out", "moq_gen.go", "."}, s.numbered("Iface")...)
				if err := s.commandIn(fmt.Sprintf("p%d", k), bin, args...); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "mockery", pkg: "github.com/vektra/mockery/v3", input: ifaces, output: "mocks_gen.go", prepare: mockeryConfig,
			run: func(bin string, s *shape) error { return s.command(bin) }},
		{name: "goverter", pkg: "github.com/jmattheis/goverter/cmd/goverter", input: converters, output: "generated/generated.go",
			run: func(bin string, s *shape) error { return s.command(bin, "gen", "./...") }},
		{name: "controller-gen", pkg: "sigs.k8s.io/controller-tools/cmd/controller-gen", input: objects,
			output: "zz_generated.deepcopy.go",
			run:    func(bin string, s *shape) error { return s.command(bin, "object", "paths=./...") }},
		{name: "wire", pkg: "github.com/google/wire/cmd/wire", input: injectors, output: "wire_gen.go",
			run: func(bin string, s *shape) error { return s.command(bin, "gen", "./...") }},
	}
}

// buildPeer builds a peer. If that fails, the peer says why.
func buildPeer(t *tool, dir, repo string) {
	t.bin = filepath.Join(dir, t.name)
	if err := build(filepath.Join(repo, peersDir), t.bin, t.pkg); err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n")
		t.missing = "could not be built: " + line
		return
	}
	if info, err := buildinfo.ReadFile(t.bin); err == nil {
		t.version = info.Main.Version
	}
}

// build builds a command in a directory of the repository.
func build(dir, out, pkg string) error {
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", out, pkg)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// peerVersion returns the version of a module in the peers' go.mod, and
// downloads it.
func peerVersion(repo, module string) (string, error) {
	cmd := exec.CommandContext(context.Background(), "go", "mod", "download", module)
	cmd.Dir = filepath.Join(repo, peersDir)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download %s: %w\n%s", module, err, text)
	}
	cmd = exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Version}}", module)
	cmd.Dir = filepath.Join(repo, peersDir)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the version of %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// numbered returns a name for each item.
func (s *shape) numbered(prefix string) []string {
	var list []string
	for i := range s.items {
		list = append(list, fmt.Sprintf("%s%d", prefix, i))
	}
	return list
}

func mockeryConfig(s *shape) error {
	conf := "all: true\ndir: '{{.InterfaceDir}}'\nfilename: mocks_gen.go\npkgname: '{{.SrcPackageName}}'\n" +
		"formatter: gofmt\ntemplate: testify\npackages:\n"
	for k := range s.packages {
		conf += fmt.Sprintf("  shape.test/p%d:\n", k)
	}
	return s.write(".mockery.yml", conf)
}
