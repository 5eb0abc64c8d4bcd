package gen

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/format"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// finish groups the imports of a rendered file, checks that it declares exactly
// what is expected, formats it and breaks its long lines.
func finish(raw []byte, expect []string) ([]byte, error) {
	raw = groupImports(raw)
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, Output, raw, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if err := verify(f, expect); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := format.Node(&out, fset, f); err != nil {
		return nil, err
	}
	return wrap(out.Bytes())
}

// groupImports puts an empty line between the standard library's packages and
// others.
func groupImports(src []byte) []byte {
	head, rest, ok := bytes.Cut(src, []byte("\nimport (\n"))
	if !ok {
		return src
	}
	block, body, _ := bytes.Cut(rest, []byte("\n)\n"))
	var std, other []string
	for line := range strings.SplitSeq(string(block), "\n") {
		path := line[strings.IndexByte(line, '"')+1:]
		first, _, _ := strings.Cut(path, "/")
		if strings.Contains(first, ".") {
			other = append(other, line)
		} else {
			std = append(std, line)
		}
	}
	block = []byte(strings.Join(std, "\n") + "\n\n" + strings.Join(other, "\n"))
	return slices.Concat(head, []byte("\nimport (\n"), block, []byte("\n)\n"), body)
}

// expect returns what the file declares, in order, as verify writes it.
func (r *renderer) expect() []string {
	list := []string{"const _"}
	for _, t := range r.Tasks {
		n := r.tasks[t]
		list = append(list, "func "+n.enqueue, "func "+n.call)
		if len(t.Params) > 0 {
			list = append(list, "type "+n.args, "func (*"+n.args+")."+t.fieldsName())
		}
		list = append(list, "var "+n.task)
	}
	list = append(list, "func "+registerName)
	for _, c := range r.Contexts {
		if c.By == nil {
			list = append(list, "func "+r.contexts[c], "var _")
		}
	}
	for _, p := range r.usedProviders() {
		list = append(list, "var "+r.providers[p].key, "func "+r.providers[p].provide)
	}
	return list
}

// verify checks that a file declares exactly what is expected, and holds no
// directives.
func verify(f *ast.File, expect []string) error {
	var got []string
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			got = append(got, "func "+receiver(d)+d.Name.Name)
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					got = append(got, "type "+s.Name.Name)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						got = append(got, d.Tok.String()+" "+id.Name)
					}
				}
			}
		}
	}
	if !slices.Equal(got, expect) {
		return fmt.Errorf("it declares %q, not %q: this is a mistake of taskgen, please report it", got, expect)
	}
	for _, g := range f.Comments {
		for _, c := range g.List {
			if strings.HasPrefix(c.Text, "//go:build ") && c.Pos() < f.Package {
				continue
			}
			_, directive := ast.ParseDirective(c.Pos(), c.Text)
			if directive || constraint.IsPlusBuild(c.Text) || strings.HasPrefix(c.Text, "/*") {
				return errors.New("it holds a directive: this is a mistake of taskgen, please report it")
			}
		}
	}
	return nil
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	if star, ok := d.Recv.List[0].Type.(*ast.StarExpr); ok {
		if id, ok := star.X.(*ast.Ident); ok {
			return "(*" + id.Name + ")."
		}
	}
	return "(?)."
}
