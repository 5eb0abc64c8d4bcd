package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// edit replaces the text of a node.
func edit(n ast.Node, text string) analysis.TextEdit {
	return analysis.TextEdit{Pos: n.Pos(), End: n.End(), NewText: []byte(text)}
}

// fix is one suggested fix.
func fix(message string, edits ...analysis.TextEdit) []analysis.SuggestedFix {
	return []analysis.SuggestedFix{{Message: message, TextEdits: edits}}
}

// contextName returns the name of the context nearest to a place of the task: the
// parameter of a function literal around it, or the task's own. It returns "" if
// there is no context, or if its name is shadowed there.
func (t *task) contextName(pass *analysis.Pass, around []ast.Node, pos token.Pos) string {
	for i := len(around) - 1; i >= 0; i-- {
		lit, ok := around[i].(*ast.FuncLit)
		if !ok || len(lit.Type.Params.List) == 0 {
			continue
		}
		first := lit.Type.Params.List[0]
		if !isContext(pass.TypesInfo.TypeOf(first.Type)) {
			continue
		}
		if len(first.Names) == 0 {
			return ""
		}
		return visible(pass, pass.TypesInfo.Defs[first.Names[0]], pos)
	}
	if t.ctx == nil {
		return ""
	}
	return visible(pass, t.ctx, pos)
}

// visible returns the object's name, or "" if the name is shadowed at pos.
func visible(pass *analysis.Pass, obj types.Object, pos token.Pos) string {
	if obj == nil || obj.Name() == "_" {
		return ""
	}
	scope := pass.Pkg.Scope().Innermost(pos)
	if scope == nil {
		return ""
	}
	if _, there := scope.LookupParent(obj.Name(), pos); there != obj {
		return ""
	}
	return obj.Name()
}

// importName returns the name of a package at a place of a file, with the edits
// that import it. It returns "" if the name is shadowed there.
func importName(pass *analysis.Pass, f *ast.File, path string, pos token.Pos) (string, []analysis.TextEdit) {
	base := path[strings.LastIndex(path, "/")+1:]
	for _, spec := range f.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != path {
			continue
		}
		name := base
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if obj, ok := lookup(pass, name, pos).(*types.PkgName); !ok || obj.Imported().Path() != path {
			return "", nil
		}
		return name, nil
	}
	if lookup(pass, base, pos) != nil {
		return "", nil
	}
	return base, []analysis.TextEdit{addImport(f, path)}
}

func lookup(pass *analysis.Pass, name string, pos token.Pos) types.Object {
	if scope := pass.Pkg.Scope().Innermost(pos); scope != nil {
		_, obj := scope.LookupParent(name, pos)
		return obj
	}
	return nil
}

// addImport adds an import to the file's first group whose last path is of the
// same kind, the standard library or not; gofmt puts it in order.
func addImport(f *ast.File, path string) analysis.TextEdit {
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.IMPORT || !g.Lparen.IsValid() {
			continue
		}
		at := g.Rparen
		for i := len(g.Specs) - 1; i >= 0; i-- {
			spec := g.Specs[i].(*ast.ImportSpec)
			if standard(strings.Trim(spec.Path.Value, "`\"")) == standard(path) {
				at = spec.Pos()
				return analysis.TextEdit{Pos: at, End: at, NewText: []byte(strconv.Quote(path) + "\n\t")}
			}
		}
		return analysis.TextEdit{Pos: at, End: at, NewText: []byte("\n\t" + strconv.Quote(path) + "\n")}
	}
	at := f.Name.End()
	return analysis.TextEdit{Pos: at, End: at, NewText: []byte("\n\nimport " + strconv.Quote(path))}
}

func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// returning returns the statement that ends a task with the error: "return err" or
// "return 0, err". It returns "" for a task with other results, and for named results
// whose names are in the way.
func (t *task) returning(pass *analysis.Pass, err string) string {
	if t.Type.Results == nil {
		return ""
	}
	var values []string
	for _, f := range t.Type.Results.List {
		zero := zeroOf(pass.TypesInfo.TypeOf(f.Type), types.ExprString(f.Type))
		for range max(1, len(f.Names)) {
			values = append(values, zero)
		}
	}
	last := t.Type.Results.List[len(t.Type.Results.List)-1]
	if !types.Identical(pass.TypesInfo.TypeOf(last.Type), types.Universe.Lookup("error").Type()) {
		return ""
	}
	values[len(values)-1] = err
	return "return " + strings.Join(values, ", ")
}

// zeroOf writes the zero value of a type whose source is text.
func zeroOf(t types.Type, text string) string {
	if _, ok := types.Unalias(t).(*types.TypeParam); ok {
		return "*new(" + text + ")"
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsBoolean != 0:
			return "false"
		case u.Info()&types.IsString != 0:
			return `""`
		case u.Info()&types.IsNumeric != 0:
			return "0"
		}
	case *types.Struct, *types.Array:
		return text + "{}"
	}
	return "nil"
}

// ownStatement reports whether the node is a statement of the task itself, not of a
// function literal, so that a return before it or in its place ends the task.
func ownStatement(n ast.Node, around []ast.Node) bool {
	if _, ok := n.(ast.Stmt); !ok || len(around) == 0 {
		return false
	}
	switch around[len(around)-1].(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
	default:
		return false
	}
	return !inLiteral(around)
}

// inLiteral reports whether a function literal is among the nodes.
func inLiteral(around []ast.Node) bool {
	for _, a := range around {
		if _, ok := a.(*ast.FuncLit); ok {
			return true
		}
	}
	return false
}
