package vet

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// source writes an expression as gofmt does.
func source(pass *analysis.Pass, x ast.Expr) string {
	var b bytes.Buffer
	if err := format.Node(&b, pass.Fset, x); err != nil {
		return types.ExprString(x)
	}
	return b.String()
}

func sources(pass *analysis.Pass, xs []ast.Expr) string {
	var all []string
	for _, x := range xs {
		all = append(all, source(pass, x))
	}
	return strings.Join(all, ", ")
}

func isError(t types.Type) bool {
	return t != nil && types.Identical(t, types.Universe.Lookup("error").Type())
}
