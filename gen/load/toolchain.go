package load

import (
	"context"
	"os/exec"
	"strings"

	"github.com/taskctx/taskctx/gen/buildtag"
)

// goTools is the toolchain that the go command builds with in this directory,
// which may be another than that of the first go command, and than taskgen's own.
type goTools struct {
	root string // GOROOT
	// tags are its experiments and the levels of its processor, such as
	// goexperiment.jsonv2 and amd64.v1; releases are the versions from go1.1 to its
	// own.
	tags, releases []string
}

// askTools asks the go command. Without an answer no file is found below the root,
// and no tag is set.
func (l *Loader) askTools() *goTools {
	// Whoever asks first asks for all, so that no caller's context ends it.
	cmd := exec.CommandContext(context.Background(), "go", "list", "-f",
		"{{context.GOROOT}}{{range context.ToolTags}}\n{{.}}{{end}}{{range context.ReleaseTags}}\n{{.}}{{end}}", "unsafe")
	cmd.Dir, cmd.Env = l.dir, l.cfg.Env
	out, _ := cmd.Output() // the faults of a module are reported where it is loaded
	root, lines, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	t := &goTools{root: strings.TrimSpace(root)}
	for tag := range strings.FieldsSeq(lines) {
		if buildtag.IsVersion(tag) {
			t.releases = append(t.releases, tag)
		} else {
			t.tags = append(t.tags, tag)
		}
	}
	return t
}
