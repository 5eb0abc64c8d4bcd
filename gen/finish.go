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
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// finish groups the imports of a rendered file, checks that it declares
// exactly the expected names, formats it and breaks its long lines. Formatting
// is most of a run's work: a long file is formatted in parts, side by side.
func finish(raw []byte, expect []string) ([]byte, error) { return finishBy(partSize, raw, expect) }

// partSize is the least length of a file's parts.
const partSize = 16 << 10

func finishBy(size int, raw []byte, expect []string) ([]byte, error) {
	parts := split(groupImports(raw), size)
	declared := make([][]string, len(parts))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, part := range parts {
		work.Go(func() (err error) {
			parts[i], declared[i], err = finishPart(part, i == 0)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	if got := slices.Concat(declared...); !slices.Equal(got, expect) {
		return nil, fmt.Errorf("it declares %q, not %q: this is a mistake of taskgen, please report it", got, expect)
	}
	return bytes.Join(parts, []byte("\n")), nil
}

// split cuts a rendered file into parts of whole declarations: before comments
// at the beginning of a line, which only declarations have.
func split(src []byte, size int) (parts [][]byte) {
	for len(src) > 2*size {
		i := bytes.Index(src[size:], []byte("\n\n// "))
		if i < 0 {
			break
		}
		parts = append(parts, src[:size+i+1])
		src = src[size+i+2:]
	}
	return append(parts, src)
}

// finishPart formats a part of a file, the first of them with its head. It
// returns the declarations of the part.
func finishPart(src []byte, first bool) (formatted []byte, declared []string, err error) {
	if !first {
		src = slices.Concat([]byte(fragment), []byte("\n"), src)
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, Output, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	if err := noDirectives(f); err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	if err := format.Node(&out, fset, f); err != nil {
		return nil, nil, err
	}
	formatted = out.Bytes()
	if !first {
		formatted = bytes.TrimPrefix(formatted, []byte(fragment+"\n"))
	}
	if formatted, err = wrap(formatted); err == nil {
		formatted, err = settle(formatted, first)
	}
	return formatted, declarationsOf(f), err
}

var nestedStruct = regexp.MustCompile(`(?m)^\t.*\bstruct \{$`)

// settle formats a part with struct types within others until it stays the
// same: the formatter does not get all of those right at once.
func settle(src []byte, first bool) ([]byte, error) {
	if !nestedStruct.Match(src) {
		return src, nil
	}
	for range 5 {
		whole := src
		if !first {
			whole = slices.Concat([]byte(fragment), []byte("\n"), src)
		}
		next, err := format.Source(whole)
		if err != nil {
			return nil, err
		}
		if !first {
			next = bytes.TrimPrefix(next, []byte(fragment+"\n"))
		}
		if next, err = wrap(next); err != nil || bytes.Equal(next, src) {
			return next, err
		}
		src = next
	}
	return src, nil
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

// expect returns the declarations of the file, in order, as declarationsOf
// writes them.
func (r *renderer) expect() []string {
	list := []string{"const _"}
	for _, t := range r.Tasks {
		list = append(list, "const "+r.tasks[t].name)
	}
	for _, t := range r.Tasks {
		n := r.tasks[t]
		list = append(list, "func "+n.enqueue, "func "+n.call, "type "+n.args,
			"func (*"+n.args+")."+runName, "var "+n.task)
	}
	for _, c := range r.Clients {
		for _, t := range c.Tasks {
			list = append(list, "const "+r.tasks[t].name)
		}
		for _, t := range c.Tasks {
			list = append(list, "func "+r.tasks[t].enqueue, "func "+r.tasks[t].call, "type "+r.tasks[t].args, "var "+r.tasks[t].task)
		}
	}
	if len(r.Clients) > 0 {
		list = append(list, "func "+registerClientName)
	}
	if r.serves() {
		for _, t := range r.tables {
			list = append(list, "var "+t.name)
		}
		list = append(list, "func "+registerName)
	}
	for _, c := range r.Contexts {
		if c.By == nil {
			list = append(list, "func "+r.contexts[c])
			if c.guarded() {
				list = append(list, "func _")
			}
		}
	}
	for _, p := range r.usedProviders() {
		list = append(list, "var "+r.providers[p].key, "func "+r.providers[p].provide)
	}
	return list
}

// declarationsOf returns the declarations of a file, without its imports.
func declarationsOf(f *ast.File) (got []string) {
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
	return got
}

// noDirectives checks that a file holds no directives but its build constraint.
func noDirectives(f *ast.File) error {
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
