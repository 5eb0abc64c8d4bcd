package load

import (
	"errors"
	"fmt"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// Module is a module whose packages are read from their source: the one asked
// for, those of its workspace, and those that a replace directive puts in a
// directory.
type Module struct {
	Path, Dir string
	// Main: its packages may be generated for.
	Main bool
	// Go is the version in its go line, "" without one, and GoLine the place
	// of that line.
	Go     string
	GoLine token.Position

	ignore []string // the directories that its go.mod ignores
}

// modules is the content of go.mod and go.work.
type modules struct {
	root   string // of the main module that holds the working directory
	source []*Module
	vendor bool
	files  []string // the files read, for the key of the cache
}

var errNoModule = errors.New("no go.mod here or above: taskgen works in a module")

// findUp returns the first file of that name in dir or above it.
func findUp(dir, name string) string {
	for {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && !st.IsDir() {
			return p
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// readModules reads go.mod and go.work for the working directory dir.
func readModules(dir string, env *goEnv) (*modules, error) {
	mod := findUp(dir, "go.mod")
	work := env.get("GOWORK")
	switch work {
	case "off":
		work = ""
	case "":
		work = findUp(dir, "go.work")
	}
	if mod == "" && work == "" {
		return nil, errNoModule
	}
	m := &modules{}
	if mod != "" {
		m.root = filepath.Dir(mod)
	}
	if work != "" {
		if err := m.addWork(work); err != nil {
			return nil, err
		}
	}
	if mod != "" && m.byDir(m.root) == nil {
		if err := m.addMain(m.root); err != nil {
			return nil, err
		}
	}
	m.findVendor(work, env)
	if m.vendor {
		main := m.source[:0]
		for _, s := range m.source {
			if s.Main {
				main = append(main, s)
			}
		}
		m.source = main
	}
	return m, nil
}

// addWork adds the modules of a workspace.
func (m *modules) addWork(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	m.files = append(m.files, name, filepath.Join(filepath.Dir(name), "go.work.sum"))
	f, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return err
	}
	for _, use := range f.Use {
		dir := absolute(filepath.Dir(name), use.Path)
		if err := m.addMain(dir); err != nil {
			return err
		}
		if m.root == "" {
			m.root = dir
		}
	}
	m.addReplaces(f.Replace, filepath.Dir(name))
	return nil
}

// addMain adds a main module. Its replace directives count in any case: a
// workspace applies those of all its modules.
func (m *modules) addMain(dir string) error {
	name := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	m.files = append(m.files, name, filepath.Join(dir, "go.sum"))
	f, err := modfile.ParseLax(name, data, nil)
	if err != nil {
		return err
	}
	if f.Module == nil {
		return fmt.Errorf("%s: no module line", name)
	}
	mod := &Module{Path: f.Module.Mod.Path, Dir: dir, Main: true}
	at := f.Module.Syntax.Start
	if f.Go != nil {
		mod.Go, at = f.Go.Version, f.Go.Syntax.Start
	}
	mod.GoLine = token.Position{Filename: name, Line: at.Line, Column: at.LineRune}
	for _, ig := range f.Ignore {
		mod.ignore = append(mod.ignore, ig.Path)
	}
	m.source = append(m.source, mod)
	full, err := modfile.Parse(name, data, nil)
	if err != nil {
		return err
	}
	m.addReplaces(full.Replace, dir)
	return nil
}

// addReplaces adds modules that are replaced by directories.
func (m *modules) addReplaces(rs []*modfile.Replace, base string) {
	for _, r := range rs {
		if r.Old.Version != "" || r.New.Version != "" {
			continue
		}
		dir := absolute(base, r.New.Path)
		if m.byPath(r.Old.Path) == nil {
			m.source = append(m.source, &Module{Path: r.Old.Path, Dir: dir})
		}
	}
}

// absolute returns the directory that a module file in base names, without a
// final slash.
func absolute(base, name string) string {
	dir := filepath.FromSlash(name)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(base, dir)
	}
	return filepath.Clean(dir)
}

// ignored reports whether the go.mod of a directory's main module ignores it.
func (m *modules) ignored(dir string) bool {
	var best *Module
	for _, s := range m.source {
		below := dir == s.Dir || strings.HasPrefix(dir, s.Dir+string(filepath.Separator))
		if s.Main && below && (best == nil || len(s.Dir) > len(best.Dir)) {
			best = s
		}
	}
	return best != nil && best.ignores(dir)
}

// ignores reports whether the module's go.mod ignores the directory. An entry
// that begins with ./ is a path below the module's root; other entries are
// names at any depth. All directories below are ignored too.
func (m *Module) ignores(dir string) bool {
	if len(m.ignore) == 0 {
		return false
	}
	rel, err := filepath.Rel(m.Dir, dir)
	if err != nil || rel == "." {
		return false
	}
	slashed := func(s string) string { return "/" + strings.Trim(filepath.ToSlash(s), "/") + "/" }
	rel = slashed(rel)
	for _, ig := range m.ignore {
		below, atRoot := strings.CutPrefix(ig, "./")
		if atRoot && strings.HasPrefix(rel, slashed(below)) || !atRoot && strings.Contains(rel, slashed(ig)) {
			return true
		}
	}
	return false
}

func (m *modules) findVendor(work string, env *goEnv) {
	for f := range strings.FieldsSeq(env.get("GOFLAGS")) {
		if f == "-mod=mod" || f == "-mod=readonly" {
			return
		}
	}
	base := m.root
	if work != "" {
		base = filepath.Dir(work)
	}
	list := filepath.Join(base, "vendor", "modules.txt")
	if _, err := os.Stat(list); err == nil {
		m.vendor = true
		m.files = append(m.files, list)
	}
}

func (m *modules) byDir(dir string) *Module {
	for _, s := range m.source {
		if s.Dir == dir {
			return s
		}
	}
	return nil
}

func (m *modules) byPath(path string) *Module {
	for _, s := range m.source {
		if s.Path == path {
			return s
		}
	}
	return nil
}

// findModule returns the directory of the go.mod for dir, "" if there is none.
func findModule(dir string) string {
	if mod := findUp(dir, "go.mod"); mod != "" {
		return filepath.Dir(mod)
	}
	return ""
}

// pathOf returns the import path of a directory of the module.
func (m *Module) pathOf(dir string) string {
	rel, err := filepath.Rel(m.Dir, dir)
	if err != nil || rel == "." {
		return m.Path
	}
	return m.Path + "/" + filepath.ToSlash(rel)
}

// ofDir returns the main module that the directory belongs to, and the import
// path of its package.
func (m *modules) ofDir(dir string) (*Module, string) {
	s := m.byDir(findModule(dir))
	if s == nil || !s.Main {
		return nil, ""
	}
	return s, s.pathOf(dir)
}

// covers reports whether the path could be one of a source module's packages.
func (m *modules) covers(path string) bool {
	for _, s := range m.source {
		if path == s.Path || strings.HasPrefix(path, s.Path+"/") {
			return true
		}
	}
	return false
}

// ofPath returns the source module and the directory of an import path, or nil.
func (m *modules) ofPath(path string) (*Module, string) {
	var best *Module
	for _, s := range m.source {
		if path == s.Path || strings.HasPrefix(path, s.Path+"/") {
			if best == nil || len(s.Path) > len(best.Path) {
				best = s
			}
		}
	}
	if best == nil {
		return nil, ""
	}
	dir := filepath.Join(best.Dir, filepath.FromSlash(strings.TrimPrefix(path, best.Path)))
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, ""
	}
	// A directory with a go.mod of its own on the way belongs to another
	// module.
	for d := dir; d != best.Dir; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return nil, ""
		}
	}
	return best, dir
}
