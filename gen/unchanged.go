package gen

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"github.com/taskctx/taskctx/gen/load"
)

// memory remembers from one run to the next the content that each generated
// file was made from. If all files of a package are the same, and its
// generated file is the result, the package needs no further look.
type memory struct {
	name    string // of its file, "" if nothing is remembered
	loader  *load.Loader
	entries map[string]*entry            // by directory
	raw     map[string][sha256.Size]byte // of this run, by directory
	changed bool
}

// entry is the knowledge about a package when it was generated.
type entry struct {
	Sources []load.Source
	Names   []wireName        // of its tasks
	Output  [sha256.Size]byte // of the generated file; zero for none
	Raw     [sha256.Size]byte // of the generated file before it was formatted
}

// recall reads the memory of this module, environment and taskgen.
func recall(l *load.Loader, cfg Config) *memory {
	m := &memory{loader: l, entries: map[string]*entry{}, raw: map[string][sha256.Size]byte{}}
	key, self := l.Key(), buildID()
	if cfg.CacheDir == "" || key == "" || self == "" {
		return m
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", key, self)
	for _, dir := range l.MainDirs() {
		lock, _ := os.ReadFile(filepath.Join(dir, LockFile)) // none is like an empty one
		fmt.Fprintf(h, "%s %d %s\n", dir, len(lock), lock)
	}
	m.name = filepath.Join(cfg.CacheDir, "made-"+hex.EncodeToString(h.Sum(nil)[:16]))
	if body, ok := load.ReadCache(m.name); ok {
		if json.Unmarshal(body, &m.entries) != nil {
			m.entries = map[string]*entry{}
		}
	}
	return m
}

// split returns the directories that need a look, and the files of the others.
func (m *memory) split(dirs []string) (rest []string, same []File) {
	m.loader.Read(dirs)
	for _, dir := range dirs {
		e := m.entries[dir]
		if e == nil || !m.same(dir, e) {
			rest = append(rest, dir)
			continue
		}
		if out := m.loader.Output(dir); out != nil {
			same = append(same, File{Name: filepath.Join(dir, Output), Old: out, New: out, root: m.loader.Root(dir)})
		}
	}
	return rest, same
}

func (m *memory) same(dir string, e *entry) bool {
	if sumOf(m.loader.Output(dir)) != e.Output {
		return false
	}
	for _, s := range e.Sources {
		if !m.loader.Same(s) {
			return false
		}
	}
	return len(e.Sources) > 0
}

func sumOf(data []byte) (sum [sha256.Size]byte) {
	if data != nil {
		sum = sha256.Sum256(data)
	}
	return sum
}

// render returns the files of the packages. When the run has ended, it
// remembers those that are right.
func (m *memory) render(models []*Package, dry bool) ([]File, error) {
	outs, err := m.outputs(models)
	if err != nil {
		return nil, err
	}
	var files []File
	for i, p := range models {
		f := File{Name: filepath.Join(p.Dir, Output), Old: p.load.Output, New: outs[i], root: p.load.Module.Dir}
		f.keepLines()
		if f.Old != nil || f.New != nil {
			files = append(files, f)
		}
		if !f.Stale() || !dry {
			m.learn(p.load, f)
		}
	}
	return files, nil
}

// outputs returns the generated files of the packages, nil for packages
// without one. Most edits do not change a file: then it need not be formatted
// again, which takes longest.
func (m *memory) outputs(models []*Package) ([][]byte, error) {
	outs := make([][]byte, len(models))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	defer func() { _ = work.Wait() }() // if an error is returned earlier
	for i, p := range models {
		if p.elsewhereTasks || p.empty() {
			if p.elsewhereTasks || p.load.Elsewhere {
				outs[i] = p.load.Output // its tasks are in files outside this build
			}
			continue
		}
		r, err := render(p)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(r.raw)
		m.raw[p.Dir] = sum
		if e := m.entries[p.Dir]; e != nil && e.Raw == sum && p.load.Output != nil && sumOf(p.load.Output) == e.Output {
			outs[i] = p.load.Output
			continue
		}
		work.Go(func() (err error) {
			if outs[i], err = finish(r.raw, r.expect); err != nil {
				return fmt.Errorf("generated code of %s: %w", p.Path, err)
			}
			return nil
		})
	}
	return outs, work.Wait()
}

// learn remembers a package whose generated file is now f.
func (m *memory) learn(p *load.Package, f File) {
	if m.name == "" {
		return
	}
	sources, fixed := m.loader.Sources(p)
	if !fixed {
		return
	}
	m.entries[p.Dir] = &entry{Sources: sources, Names: wireNames(p), Output: sumOf(f.New), Raw: m.raw[p.Dir]}
	m.changed = true
}

// forget has the next run look at these packages again.
func (m *memory) forget(packages []*Package) {
	for _, p := range packages {
		delete(m.entries, p.Dir)
		m.changed = true
	}
}

// save writes the memory. A failure is no error, since only later runs use it.
func (m *memory) save() {
	if !m.changed {
		return
	}
	if body, err := json.Marshal(m.entries); err == nil {
		_ = load.WriteCache(m.name, body)
	}
}

// buildID identifies this taskgen by the id that the linker put into it, which
// is made of its contents. It is empty if none is found.
func buildID() string {
	name, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && n == 0 {
		return ""
	}
	id := findBuildID(head[:n])
	if len(id) < 40 {
		return ""
	}
	info, _ := debug.ReadBuildInfo()
	return id + "\n" + info.String()
}

// findBuildID finds the id in the first part of an executable: in a note of an
// ELF file, or else in its text.
func findBuildID(head []byte) string {
	note := []byte("\x04\x00\x00\x00Go\x00\x00") // its type and its name; its length comes before
	if i := bytes.Index(head, note); i >= 4 {
		size := int(binary.LittleEndian.Uint32(head[i-4:]))
		if start := i + len(note); size >= 0 && size < len(head)-start {
			return string(head[start : start+size])
		}
	}
	_, rest, ok := bytes.Cut(head, []byte("\xff Go build ID: \""))
	id, _, ended := bytes.Cut(rest, []byte(`"`))
	if !ok || !ended {
		return ""
	}
	return string(id)
}
