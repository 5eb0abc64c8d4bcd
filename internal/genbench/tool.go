package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tool is a program to measure.
type tool struct {
	name string
	run  func(s *shape) error
	// clean removes what it wrote, so that the next tool does not read it.
	clean func(s *shape) error
}

// findTools builds taskgen and the loaders, and finds the generators that are
// on the PATH.
func findTools(dir, repo string) ([]tool, error) {
	taskgen := filepath.Join(dir, "taskgen")
	loader := filepath.Join(dir, "pkgload")
	for out, pkg := range map[string]string{taskgen: "./cmd/taskgen", loader: "./internal/genbench/pkgload"} {
		cmd := exec.Command("go", "build", "-o", out, pkg)
		cmd.Dir = repo
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, text)
		}
	}
	os.Setenv("TASKGENCACHE", filepath.Join(dir, "cache"))
	cold := func(s *shape) error {
		os.RemoveAll(filepath.Join(dir, "cache"))
		return s.command(taskgen, "./...")
	}
	all := []tool{
		{name: "go list -deps -export", run: func(s *shape) error {
			return s.command("go", "list", "-deps", "-export", "./...")
		}},
		{name: "packages.Load", run: func(s *shape) error { return s.command(loader, "./...") }},
		{name: "taskgen", run: func(s *shape) error { return s.command(taskgen, "./...") }},
		{name: "taskgen, no cache", run: cold},
	}
	for _, t := range []tool{
		{name: "moq", run: eachPackage("moq", func(s *shape) []string {
			return append([]string{"-out", "moq_gen.go", "."}, s.ifaces()...)
		})},
		{name: "mockery", run: mockery},
		{name: "wire", run: func(s *shape) error { return s.command("wire", "gen", "./...") }},
		{name: "controller-gen", run: func(s *shape) error { return s.command("controller-gen", "object", "paths=./...") }},
		{name: "goverter", run: func(s *shape) error { return s.command("goverter", "gen", "./...") }},
	} {
		if _, err := exec.LookPath(t.name); err == nil {
			t.clean = removeGenerated
			all = append(all, t)
		}
	}
	for i := range all {
		if strings.HasPrefix(all[i].name, "taskgen") {
			all[i].clean = removeGenerated
		}
	}
	return all, nil
}

func (s *shape) ifaces() []string {
	var list []string
	for i := range s.items {
		list = append(list, fmt.Sprintf("Iface%d", i))
	}
	return list
}

// eachPackage runs a tool once in each package, as go generate would.
func eachPackage(name string, args func(s *shape) []string) func(s *shape) error {
	return func(s *shape) error {
		for k := range s.packages {
			if err := s.commandIn(fmt.Sprintf("p%d", k), name, args(s)...); err != nil {
				return err
			}
		}
		return nil
	}
}

// mockery is configured by a file.
func mockery(s *shape) error {
	conf := "all: true\ndir: '{{.InterfaceDir}}'\nfilename: mocks_gen.go\npkgname: '{{.SrcPackageName}}'\nformatter: gofmt\ntemplate: testify\npackages:\n"
	for k := range s.packages {
		conf += fmt.Sprintf("  shape.test/p%d:\n", k)
	}
	name := filepath.Join(s.dir, ".mockery.yml")
	if err := os.WriteFile(name, []byte(conf), 0o666); err != nil {
		return err
	}
	return s.command("mockery")
}

// removeGenerated removes what any generator wrote.
func removeGenerated(s *shape) error {
	for _, pattern := range []string{"p*/*_gen.go", "p*/zz_generated*.go", ".mockery.yml"} {
		names, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}
