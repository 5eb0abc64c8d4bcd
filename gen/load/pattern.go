package load

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// dirs returns the directories that the patterns name, each once, in order.
// A pattern is a directory, an import path of a main module, or either with
// "/..." for all below.
func (l *Loader) dirs(patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	var all []string
	for _, p := range patterns {
		dirs, err := l.match(p)
		if err != nil {
			return nil, err
		}
		all = append(all, dirs...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (l *Loader) match(pattern string) ([]string, error) {
	base, deep := strings.CutSuffix(filepath.ToSlash(pattern), "...")
	if deep && base != "" && !strings.HasSuffix(base, "/") || strings.Contains(base, "...") {
		return nil, fmt.Errorf("pattern %s: only a whole last element may be ...", pattern)
	}
	base = strings.TrimSuffix(base, "/")
	dir, err := l.patternDir(pattern, base)
	if err != nil {
		return nil, err
	}
	if !deep {
		return []string{dir}, nil
	}
	return l.walk(dir)
}

// patternDir returns the directory that the pattern without its dots names.
func (l *Loader) patternDir(pattern, base string) (string, error) {
	local := base == "." || base == ".." || strings.HasPrefix(base, "./") || strings.HasPrefix(base, "../")
	switch {
	case filepath.IsAbs(filepath.FromSlash(base)):
		return filepath.Clean(filepath.FromSlash(base)), nil
	case local:
		return filepath.Join(l.dir, filepath.FromSlash(base)), nil
	}
	if mod, dir := l.mods.ofPath(base); mod != nil && mod.Main {
		return dir, nil
	}
	return "", fmt.Errorf("package %s is not in this module; a directory begins with ./", pattern)
}

// walk returns the directories with Go files that "./..." at dir means: not
// testdata, vendor, names that begin with a dot or an underscore, and other
// modules.
func (l *Loader) walk(dir string) ([]string, error) {
	return l.walkFor(dir, func(name string) bool { return strings.HasSuffix(name, ".go") })
}

// Generated returns the directories of a module that have a generated file, in
// order.
func (l *Loader) Generated(root string) ([]string, error) {
	return l.walkFor(root, func(name string) bool { return name == l.cfg.Output })
}

// walkFor returns the directories that have a file with such a name.
func (l *Loader) walkFor(dir string, match func(name string) bool) ([]string, error) {
	var dirs []string
	if l.mods.ignored(dir) {
		return nil, nil
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			if match(d.Name()) {
				if p := filepath.Dir(path); len(dirs) == 0 || dirs[len(dirs)-1] != p {
					dirs = append(dirs, p)
				}
			}
			return nil
		}
		if path != dir && (l.skipped(path, d.Name()) || l.mods.ignored(path)) {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), nil
}

func (l *Loader) skipped(path, name string) bool {
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	for _, m := range l.mods.source {
		if m.Dir == path {
			return !m.Main
		}
	}
	return isFile(filepath.Join(path, "go.mod"))
}
