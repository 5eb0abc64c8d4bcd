// Package load reads Go packages for taskgen: their files, and the types of
// their declarations.
//
// It type-checks declarations only, since function bodies may call code that
// is not generated yet. It reads packages of the module's own from their
// source in the same way. For all other packages it reads the compiler's
// export data, and only those that a declaration names. So the packages that
// the user just edited are never compiled.
package load

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/build"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/taskctx/taskctx/gen/diag"
)

// Config selects the packages to load, and the build.
type Config struct {
	// Dir is the working directory.
	Dir string
	// Env is the environment; nil is that of the process.
	Env []string
	// Tags are build tags; nil takes those of GOFLAGS.
	Tags []string
	// Output is the name of the generated files, and Header their first line. A
	// file of that name and first line is never parsed.
	Output, Header string
	// CacheDir keeps the go command's answers about export data; "" keeps
	// nothing.
	CacheDir string
}

// Package is a package with the types of its declarations.
type Package struct {
	Path, Name, Dir string
	Module          *Module
	Fset            *token.FileSet
	// Files are the files of the build, without generated ones, by name. Tests
	// are test files that mention a directive.
	Files, Tests []*ast.File
	// Others are the files in its directory that are not in the build.
	Others []*Other
	// Output is the generated file as it is, nil if there is none, and Foreign
	// is a file in its place that is not ours.
	Output, Foreign []byte
	// Elsewhere: the generated file is for another build, by its constraint.
	Elsewhere bool
	// Types holds the checked declarations; Errors are the faults of the
	// others.
	Types  *types.Package
	Errors []types.Error
	// Problems are mistakes that leave Types incomplete, such as bad syntax.
	Problems []diag.Diagnostic

	snap    *snapshot
	state   checkState
	imports map[string]bool // paths that a declaration needs
	all     bool            // do not guess which imports are needed
}

type checkState int

const (
	unchecked checkState = iota
	checking
	checked
)

// Loader loads packages of one module or workspace. It is not for concurrent
// use.
type Loader struct {
	cfg  Config
	dir  string
	env  *goEnv
	ctxt build.Context
	mods *modules
	fset *token.FileSet
	exp  *exports

	mu    sync.Mutex // guards snaps while directories are read
	snaps map[string]*snapshot
	pkgs  map[string]*Package // by import path
	key   string
	tools func() *goTools // asks once

	siblings map[string][]*Other // by directory
}

// New returns a loader for the module that holds cfg.Dir.
func New(cfg Config) (*Loader, error) {
	if cfg.Env == nil {
		cfg.Env = os.Environ()
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	env := newGoEnv(cfg.Env, cfg.Tags)
	mods, err := readModules(dir, env)
	if err != nil {
		return nil, err
	}
	l := &Loader{
		cfg: cfg, dir: dir, env: env, ctxt: env.buildContext(), mods: mods, fset: token.NewFileSet(),
		snaps: map[string]*snapshot{}, pkgs: map[string]*Package{},
	}
	l.exp, l.tools = newExports(l), sync.OnceValue(l.askTools)
	return l, nil
}

// Dirs returns the directories that the patterns name. Without a pattern it is
// the working directory.
func (l *Loader) Dirs(patterns []string) ([]string, error) { return l.dirs(patterns) }

// Root returns the directory of the main module that dir belongs to, "" if it
// belongs to none.
func (l *Loader) Root(dir string) string {
	if m, _ := l.mods.ofDir(dir); m != nil {
		return m.Dir
	}
	return ""
}

// MainDirs returns the directories of the main modules.
func (l *Loader) MainDirs() []string {
	var dirs []string
	for _, m := range l.mods.source {
		if m.Main {
			dirs = append(dirs, m.Dir)
		}
	}
	return dirs
}

// Gone reports whether the path belongs to a main module that no longer has
// the package.
func (l *Loader) Gone(path string) bool {
	if !l.mods.covers(path) {
		return false
	}
	_, dir := l.mods.ofPath(path)
	if dir == "" {
		return true
	}
	s := l.snapshot(dir)
	return s.err != nil || s.empty()
}

// Load returns the packages of the directories that hold a directive or a
// generated file.
func (l *Loader) Load(ctx context.Context, dirs []string) ([]*Package, error) {
	snaps := make([]*snapshot, len(dirs))
	parallel(len(dirs), func(i int) { snaps[i] = l.snapshot(dirs[i]) })
	var used []*snapshot
	for _, s := range snaps {
		if s.err != nil {
			return nil, s.err
		}
		if !s.mentions && s.output == nil {
			continue
		}
		if mod, _ := l.mods.ofDir(s.dir); mod == nil {
			return nil, fmt.Errorf("%s is not in a main module", s.dir)
		}
		used = append(used, s)
	}
	if len(used) == 0 {
		return nil, nil
	}
	if l.env.odd == "" {
		pkgs, err := l.fast(ctx, used)
		if err != nil || !l.exp.unreadable {
			return pkgs, err
		}
	}
	return l.slow(ctx, used)
}

// fast loads the directories without the go command, which it asks only for
// new export data.
func (l *Loader) fast(ctx context.Context, snaps []*snapshot) ([]*Package, error) {
	pkgs := make([]*Package, len(snaps))
	for i, s := range snaps {
		mod, path := l.mods.ofDir(s.dir)
		pkgs[i] = l.add(mod, path, s)
	}
	parallel(len(pkgs), func(i int) { l.parse(pkgs[i]) })
	need := map[string]bool{}
	for _, p := range pkgs {
		l.plan(p, need)
	}
	if err := l.exp.ensure(ctx, need); err != nil {
		return nil, err
	}
	for _, p := range pkgs {
		l.check(ctx, p)
	}
	return pkgs, nil
}

// Source returns a package that was read from its source, on request or as an
// import, or nil.
func (l *Loader) Source(path string) *Package { return l.pkgs[path] }

// Import returns the package of an import path if it is read from its source,
// perhaps without its types, or nil.
func (l *Loader) Import(path string) *Package { return l.source(path) }

// add returns the package of a snapshot, the same each time.
func (l *Loader) add(mod *Module, path string, s *snapshot) *Package {
	p := l.pkgs[path]
	if p == nil {
		p = &Package{Path: path, Dir: s.dir, Module: mod, Fset: l.fset, snap: s}
		l.pkgs[path] = p
	}
	return p
}

// source returns the package of an import path if it is read from its source.
func (l *Loader) source(path string) *Package {
	if p := l.pkgs[path]; p != nil {
		return p
	}
	mod, dir := l.mods.ofPath(path)
	if mod == nil {
		return nil
	}
	s := l.snapshot(dir)
	if s.err != nil || s.empty() {
		return nil
	}
	p := l.add(mod, path, s)
	l.parseImport(p)
	return p
}

// plan adds to need the imports whose export data p needs, and those of the
// packages that p imports from source.
func (l *Loader) plan(p *Package, need map[string]bool) {
	if p.imports != nil {
		return
	}
	p.imports = map[string]bool{}
	for _, f := range p.Files {
		for _, path := range l.neededImports(p, f) {
			p.imports[path] = true
		}
	}
	for _, path := range slices.Sorted(keys(p.imports)) {
		if dep := l.source(path); dep != nil {
			l.plan(dep, need)
		} else if path != "unsafe" && path != "C" {
			need[path] = true
		}
	}
}

// Source is a directory whose files gave a package its types.
type Source struct {
	Path string // the import path
	Dir  string
	Sum  [sha256.Size]byte // of the names and the contents of its Go files
	Own  bool              // the package's own directory: its tests count too
}

// Sources returns every directory that the package was made from, its own
// included, in order. It returns false if something else contributed that may
// change unnoticed.
func (l *Loader) Sources(p *Package) ([]Source, bool) {
	seen := map[string]*Package{}
	fixed := true
	var visit func(p *Package)
	visit = func(p *Package) {
		if seen[p.Dir] != nil {
			return
		}
		seen[p.Dir] = p
		for path := range p.imports {
			if dep := l.pkgs[path]; dep != nil {
				visit(dep)
			} else if path != "unsafe" && (l.exp.stored[path] == "" || l.mods.covers(path)) {
				fixed = false
			}
		}
	}
	visit(p)
	var list []Source
	for _, dir := range slices.Sorted(keys(seen)) {
		src := Source{Path: seen[dir].Path, Dir: dir, Sum: seen[dir].snap.sum}
		if dir == p.Dir {
			src.Own, src.Sum = true, seen[dir].snap.own
		}
		list = append(list, src)
	}
	return list, fixed
}

// Same reports whether the directory still holds the same files of the same
// package.
func (l *Loader) Same(src Source) bool {
	s := l.snapshot(src.Dir)
	sum := s.sum
	if src.Own {
		sum = s.own
	}
	if s.err != nil || sum != src.Sum || s.foreign != nil {
		return false
	}
	if m := l.mods.byDir(findModule(src.Dir)); m != nil {
		return m.pathOf(src.Dir) == src.Path
	}
	return false
}

// Output returns the generated file of a directory, nil if there is none.
func (l *Loader) Output(dir string) []byte { return l.snapshot(dir).output }

// InDir returns the package of a main module's directory, perhaps without its
// types, or nil.
func (l *Loader) InDir(dir string) *Package {
	mod, path := l.mods.ofDir(dir)
	if s := l.snapshot(dir); mod == nil || s.err != nil || s.empty() || !s.mentions {
		return nil
	}
	if p := l.pkgs[path]; p != nil {
		return p
	}
	p := l.add(mod, path, l.snapshot(dir))
	l.parseImport(p)
	return p
}

// Read reads the Go files of the directories, side by side.
func (l *Loader) Read(dirs []string) {
	parallel(len(dirs), func(i int) { l.snapshot(dirs[i]) })
}

func keys[K cmp.Ordered, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// parallel calls do with 0 to n-1, on one goroutine for each processor, and
// waits for all.
func parallel(n int, do func(int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range workers {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
