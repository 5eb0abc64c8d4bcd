package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/build"
	"go/importer"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
)

// exports finds and reads the export data of packages that are not read from
// their source.
type exports struct {
	l      *Loader
	imp    types.Importer
	files  map[string]string // import path to file of export data
	stored map[string]string // content of the cache: immutable packages only
	failed map[string]string // import path to why
	loaded bool
	// unreadable: there is export data that the importer does not understand.
	unreadable bool
}

func newExports(l *Loader) *exports {
	x := &exports{l: l, files: map[string]string{}, stored: map[string]string{}, failed: map[string]string{}}
	x.imp = importer.ForCompiler(l.fset, "gc", x.open)
	return x
}

// open opens export data for the importer.
func (x *exports) open(path string) (io.ReadCloser, error) {
	if name := x.files[path]; name != "" {
		return os.Open(name)
	}
	if why := x.failed[path]; why != "" {
		return nil, errors.New(why)
	}
	return nil, fmt.Errorf("no export data of %s", path)
}

// Import returns the package as its export data has it.
func (x *exports) Import(path string) (*types.Package, error) {
	if x.files[path] == "" {
		if err := x.ensure(context.Background(), map[string]bool{path: true}); err != nil {
			return nil, err
		}
	}
	pkg, err := x.read(path)
	if err != nil && x.files[path] != "" {
		x.unreadable = true
	}
	return pkg, err
}

// read reads a package's export data. The importer may panic at data of a
// newer compiler.
func (x *exports) read(path string) (pkg *types.Package, err error) {
	defer func() {
		if v := recover(); v != nil {
			pkg, err = nil, fmt.Errorf("export data of %s: %v", path, v)
		}
	}()
	return x.imp.Import(path)
}

// ensure finds the export data of the packages, by the cache or by the go
// command. A package that has none is an error when it is imported.
func (x *exports) ensure(ctx context.Context, paths map[string]bool) error {
	x.load()
	var missing []string
	for _, p := range slices.Sorted(keys(paths)) {
		if x.files[p] != "" || x.failed[p] != "" {
			continue
		}
		if name := x.stored[p]; name != "" && isFile(name) {
			x.files[p] = name
			continue
		}
		if why := malformed(p); why != "" {
			x.failed[p] = why
			continue
		}
		missing = append(missing, p)
	}
	if len(missing) == 0 {
		return nil
	}
	return x.list(ctx, missing)
}

// malformed says why the go command cannot be asked for a path.
func malformed(path string) string {
	switch path {
	case "all", "std", "cmd", "tool", "work":
		return path + " stands for several packages"
	}
	if build.IsLocalImport(path) {
		return "imports are not relative in a module"
	}
	if err := module.CheckImportPath(path); err != nil {
		return err.Error()
	}
	return ""
}

const listFormat = `{{.ImportPath}}	{{.Export}}	{{.Standard}}	` +
	`{{with .Module}}{{if not .Main}}{{.Dir}}{{end}}{{end}}	{{with .Error}}{{printf "%q" .Err}}{{end}}`

// list asks the go command, which compiles missing packages.
func (x *exports) list(ctx context.Context, paths []string) error {
	args := []string{"list", "-e", "-export", "-f", listFormat}
	if x.l.cfg.Tags != nil {
		args = append(args, "-tags="+strings.Join(x.l.cfg.Tags, ","))
	}
	cmd := exec.CommandContext(ctx, "go", append(append(args, "--"), paths...)...)
	cmd.Dir = x.l.dir
	cmd.Env = x.l.cfg.Env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list: %w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	cache := x.l.env.modCache() + string(filepath.Separator)
	grown := false
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			continue
		}
		path, export, standard, modDir, why := f[0], f[1], f[2] == "true", f[3], f[4]
		if export == "" {
			x.failed[path] = "no export data"
			if text, err := strconv.Unquote(why); err == nil {
				x.failed[path] = strings.Join(strings.Fields(text), " ")
			}
			continue
		}
		x.files[path] = export
		if standard || strings.HasPrefix(modDir, cache) && !x.l.mods.vendor {
			x.stored[path] = export
			grown = true
		}
	}
	if grown {
		x.store()
	}
	return nil
}

// cacheFile returns the name of the file with the places of export data, for
// this toolchain, environment and module; "" keeps nothing.
func (x *exports) cacheFile() string {
	key := x.l.Key()
	if x.l.cfg.CacheDir == "" || key == "" {
		return ""
	}
	return filepath.Join(x.l.cfg.CacheDir, "exports-"+key[:32])
}

// load reads the cache, once.
func (x *exports) load() {
	if x.loaded {
		return
	}
	x.loaded = true
	name := x.cacheFile()
	if name == "" {
		return
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return // no cache yet
	}
	body, ok := unseal(data)
	if !ok {
		return
	}
	for line := range strings.Lines(string(body)) {
		if path, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok {
			x.stored[path] = file
		}
	}
}

// store writes the cache. A failure is no error, since only later runs use it.
func (x *exports) store() {
	name := x.cacheFile()
	if name == "" {
		return
	}
	var b bytes.Buffer
	for _, p := range slices.Sorted(keys(x.stored)) {
		fmt.Fprintf(&b, "%s\t%s\n", p, x.stored[p])
	}
	_ = WriteCache(name, b.Bytes())
}

// ReadCache returns the content that WriteCache wrote, or false if the file is
// missing or damaged.
func ReadCache(name string) ([]byte, bool) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	return unseal(data)
}

// WriteCache writes a file of the cache, whole or not at all, with a checksum.
func WriteCache(name string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	f, err := os.CreateTemp(filepath.Dir(name), "tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(sum[:], body...))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func unseal(data []byte) ([]byte, bool) {
	if len(data) < sha256.Size {
		return nil, false
	}
	body := data[sha256.Size:]
	sum := sha256.Sum256(body)
	return body, bytes.Equal(sum[:], data[:sha256.Size])
}
