package vet

import (
	"go/ast"
	"reflect"
	"strings"

	"golang.org/x/tools/go/analysis"

	"github.com/taskctx/taskctx/annotations"
)

// Directive reports mistakes in directives, as taskgen does, and in the struct tags
// of context types.
var Directive = &analysis.Analyzer{
	Name: "taskdirective",
	Doc: `report mistakes in //task: directives and task:"..." struct tags

They are taskgen's own errors, shown while you write. A comment that was meant
as a directive, as // task:context with a space, does nothing at all; taskgen
sees it only if it is run.`,
	URL:      page + "taskdirective",
	Requires: []*analysis.Analyzer{tasksOf},
	Run:      directives,

	RunDespiteErrors: true, // code that is not generated yet
}

func directives(pass *analysis.Pass) (any, error) {
	for _, e := range pass.ResultOf[tasksOf].(*found).errs {
		d := analysis.Diagnostic{Pos: e.Pos, End: e.End, Category: e.Code, Message: e.Error()}
		if e.Instead != "" {
			d.SuggestedFixes = []analysis.SuggestedFix{{
				Message:   "Write " + e.Instead,
				TextEdits: []analysis.TextEdit{{Pos: e.Pos, End: e.End, NewText: []byte(e.Instead)}},
			}}
		}
		pass.Report(d)
	}
	for _, f := range pass.Files {
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				checkTags(pass, spec)
			}
			return true
		})
	}
	return nil, nil
}

// checkTags reports wrong task tags of a context type's fields.
func checkTags(pass *analysis.Pass, spec *ast.TypeSpec) {
	s, ok := spec.Type.(*ast.StructType)
	if !ok || !holdsContext(pass.TypesInfo.TypeOf(s), 0) {
		return
	}
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag := strings.Trim(f.Tag.Value, "`")
		_, msg, hint := annotations.ParseField(tag)
		if msg == "" {
			continue
		}
		d := analysis.Diagnostic{Pos: f.Tag.Pos(), End: f.Tag.End(), Category: "bad-tag", Message: msg + "; " + hint}
		said := reflect.StructTag(tag).Get(annotations.Tool)
		if near := annotations.Nearest(said, []string{"supply"}); near != "" && strings.Count(tag, said) == 1 {
			d.SuggestedFixes = fix("Write "+near, edit(f.Tag, strings.Replace(f.Tag.Value, said, near, 1)))
		}
		pass.Report(d)
	}
}
