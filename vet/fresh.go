package vet

import (
	"context"
	"fmt"
	"go/ast"
	"go/build"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/analysis"

	"github.com/taskctx/taskctx/gen"
	"github.com/taskctx/taskctx/gen/diag"
)

// Fresh runs the generator without writing, and reports its diagnostics and stale files.
var Fresh = &analysis.Analyzer{
	Name: "taskfresh",
	Doc: `report generated code that is stale, and what taskgen refuses

It is "taskgen -check" of the packages that have directives: a parameter that
cannot travel, a field that nothing fills, a tasks_gen.go that is missing or older than
its functions. It looks at no package whose files another choice of build tags
would change.`,
	URL:      page + "taskfresh",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      fresh,

	RunDespiteErrors: true, // code that is not generated yet
}

func fresh(pass *analysis.Pass) (any, error) {
	all := pass.ResultOf[tasksOf].(*found)
	if len(all.directives) == 0 {
		return nil, nil
	}
	at := all.directives[0]
	dir := filepath.Dir(pass.Fset.File(at.Slash).Name())
	if !filepath.IsAbs(dir) || !usualBuild(pass, dir) {
		return nil, nil
	}
	res, err := gen.Run(context.Background(), gen.Config{Dir: dir, DryRun: true, CacheDir: gen.CacheDir()})
	if err != nil {
		return nil, nil //nolint:nilerr // not a package that taskgen can read, as one of GOPATH mode: nothing is certain
	}
	for _, d := range res.Diagnostics {
		if !known(pass, all, d) {
			pass.Report(asDiagnostic(pass, d, at.Slash))
		}
	}
	for _, f := range res.Files {
		if f.Stale() && filepath.Base(f.Name) == gen.Output {
			pass.Report(analysis.Diagnostic{
				Pos: at.Slash, End: at.End, Category: "stale",
				Message:        fmt.Sprintf("%s is stale: run go generate", gen.Output),
				SuggestedFixes: rewrite(pass, f),
			})
		}
	}
	return nil, nil
}

// usualBuild reports whether the pass has the files that taskgen sees. It compares
// them by name, since a pass has no build tags.
func usualBuild(pass *analysis.Pass, dir string) bool {
	ctx := build.Default
	for _, flag := range strings.Fields(os.Getenv("GOFLAGS")) {
		if tags, ok := strings.CutPrefix(strings.TrimPrefix(flag, "-"), "-tags="); ok {
			ctx.BuildTags = strings.Split(tags, ",")
		} else if tags, ok := strings.CutPrefix(flag, "-tags="); ok {
			ctx.BuildTags = strings.Split(tags, ",")
		}
	}
	seen := map[string]bool{}
	for _, f := range pass.Files {
		name := pass.Fset.File(f.FileStart).Name()
		if filepath.Dir(name) == dir && !strings.HasSuffix(name, "_test.go") {
			seen[filepath.Base(name)] = true
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		if match, err := ctx.MatchFile(dir, e.Name()); err != nil || match != seen[e.Name()] {
			return false
		}
	}
	return true
}

// known reports whether Directive reports the diagnostic too.
func known(pass *analysis.Pass, all *found, d diag.Diagnostic) bool {
	for _, e := range all.errs {
		at := pass.Fset.Position(e.Pos)
		if e.Code == d.Code && at.Line == d.Pos.Line && at.Column == d.Pos.Column {
			return true
		}
	}
	return d.Code == "bad-tag"
}

// asDiagnostic places a diagnostic of taskgen in the pass, or at otherwise if the
// pass lacks its file.
func asDiagnostic(pass *analysis.Pass, d diag.Diagnostic, otherwise token.Pos) analysis.Diagnostic {
	a := analysis.Diagnostic{Pos: place(pass, d.Pos), End: place(pass, d.End), Category: d.Code, Message: d.Message}
	if !a.Pos.IsValid() {
		a.Pos, a.End = otherwise, token.NoPos
		a.Message = d.Pos.String() + ": " + a.Message
	}
	if d.Fix != "" {
		a.Message += "; " + strings.ReplaceAll(d.Fix, "\n", " ")
	}
	for _, r := range d.Related {
		if pos := place(pass, r.Pos); pos.IsValid() {
			a.Related = append(a.Related, analysis.RelatedInformation{Pos: pos, Message: r.Message})
		}
	}
	return a
}

// place returns the position in a file of the pass.
func place(pass *analysis.Pass, at token.Position) token.Pos {
	for _, f := range pass.Files {
		tf := pass.Fset.File(f.FileStart)
		if tf.Name() == at.Filename && at.Line > 0 && at.Line <= tf.LineCount() {
			return tf.LineStart(at.Line) + token.Pos(max(at.Column, 1)-1)
		}
	}
	return token.NoPos
}

// rewrite returns the fix that replaces the generated file, or none if the pass
// lacks it.
func rewrite(pass *analysis.Pass, f gen.File) []analysis.SuggestedFix {
	for _, file := range pass.Files {
		if pass.Fset.File(file.FileStart).Name() == f.Name && ast.IsGenerated(file) {
			return []analysis.SuggestedFix{{
				Message:   "Generate it again",
				TextEdits: []analysis.TextEdit{{Pos: file.FileStart, End: file.FileEnd, NewText: f.New}},
			}}
		}
	}
	return nil
}
