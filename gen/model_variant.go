package gen

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/buildtag"
	"github.com/taskctx/taskctx/gen/load"
)

// elsewhere is a directive in a file outside this build.
type elsewhere struct {
	*annotations.Directive
	file *load.Other
}

// parseOthers reads the directives of files of other builds. Mistakes in them
// are reported where they are built.
func (b *builder) parseOthers() {
	for _, o := range b.load.Others {
		if o.Test {
			continue
		}
		found, _ := annotations.Parse(o.Tree)
		for _, d := range found {
			if d.On != annotations.OnPackage {
				b.elsewhere = append(b.elsewhere, elsewhere{d, o})
			}
		}
	}
}

// inOrder puts the directives into the order that they have in every build. A
// declaration that exists once for each system gets the comment of the first
// of these. So the generated file is the same for all.
func (b *builder) inOrder() {
	if len(b.elsewhere) == 0 {
		return
	}
	type place struct {
		file string
		at   token.Pos
	}
	first := map[*annotations.Directive]place{}
	for _, d := range b.found {
		f := b.fileOf(d.Slash)
		at := place{b.load.FileName(f), d.Slash - f.FileStart}
		for _, v := range b.elsewhere {
			if !v.sameAs(d) {
				continue
			}
			if name := b.load.FileName(v.file.Tree); name < at.file {
				at = place{name, v.Slash - v.file.Tree.FileStart}
				b.files[d] = filepath.Base(name)
				if d.Func != nil && v.Func != nil {
					b.docs[d.Func] = v.Func.Doc
				}
			}
		}
		first[d] = at
	}
	slices.SortStableFunc(b.found, func(x, y *annotations.Directive) int {
		return cmp.Or(strings.Compare(first[x].file, first[y].file), cmp.Compare(first[x].at, first[y].at))
	})
}

// sameAs reports whether the directive is that of the same declaration for
// another build.
func (v elsewhere) sameAs(d *annotations.Directive) bool {
	return declName(v.Directive) == declName(d) && v.Verb == d.Verb
}

// variants reports declarations for several systems that differ: one generated
// file serves them all.
func (b *builder) variants() {
	for _, d := range b.found {
		for _, v := range b.elsewhere {
			if d.Func == nil || v.Func == nil || !v.sameAs(d) {
				continue
			}
			here := directiveText(d) + funcText(b.fileOf(d.Slash), d.Func)
			if there := directiveText(v.Directive) + funcText(v.file.Tree, v.Func); here == there {
				continue
			}
			e := b.report(d.Func.Name.Pos(), d.Func.Name.End(), "differs-by-system",
				"give both the same directive, parameters and results, for they share one generated file",
				"%s is declared otherwise for other builds", funcName(d.Func))
			b.related(e, v.Func.Name.Pos(), "here")
		}
	}
	if d := b.defaults; d != nil {
		c := buildtag.And(b.builds, b.load.Constraint(b.fileOf(d.Slash), true))
		if !buildtag.Same(c, b.builds) {
			b.report(d.Slash, d.End, "differs-by-system", "put it into a file of all builds that have the tasks",
				"//task:%s stands in a file that other builds with the same generated code leave out", d.Verb)
		}
	}
	for _, c := range b.Contexts {
		if c.By == nil {
			b.sameEverywhere(c.Type)
		}
	}
}

// sameEverywhere reports a context type that another build with the generated
// file declares differently.
func (b *builder) sameEverywhere(n *types.Named) {
	obj := n.Obj()
	spec := b.types[obj.Name()]
	if spec == nil || spec.Name.Pos() != obj.Pos() {
		return
	}
	here := typeText(b.fileOf(spec.Pos()), spec)
	for _, o := range b.load.Others {
		if o.Test || !buildtag.Possible(buildtag.And(b.builds, o.Constraint)) {
			continue
		}
		for _, other := range typeSpecs(o.Tree) {
			if other.Name.Name != obj.Name() || typeText(o.Tree, other) == here {
				continue
			}
			e := b.report(spec.Name.Pos(), spec.Name.End(), "differs-by-system",
				"declare it once, with what differs behind a type or a function of its own,\n"+
					"or put the tasks that need it into files of one system, and into a package of their own",
				"the context type %s is declared otherwise for other builds, and generated code is the same for all", obj.Name())
			b.related(e, other.Name.Pos(), "here")
			return
		}
	}
}

// directiveText writes the content of a directive, in the order of its keys.
func directiveText(d *annotations.Directive) string {
	words := []string{d.Verb, d.Word}
	for _, a := range d.Args {
		words = append(words, a.Name+"="+a.Value)
	}
	slices.Sort(words[2:])
	return strconv.Quote(strings.Join(words, " "))
}

// funcText writes a function's parameters and results, with their packages.
func funcText(f *ast.File, fn *ast.FuncDecl) string {
	var b strings.Builder
	for _, list := range []*ast.FieldList{fn.Recv, fn.Type.TypeParams, fn.Type.Params, fn.Type.Results} {
		b.WriteString("(")
		if list != nil {
			for i, field := range list.List {
				names := field.Names
				if list == fn.Type.Results || list == fn.Recv {
					names = nil
				}
				for range max(len(field.Names), 1) - len(names) {
					b.WriteString(types.ExprString(field.Type) + ",")
				}
				for _, id := range names {
					name := id.Name
					if i == 0 && list == fn.Type.Params && id == names[0] {
						name = "_" // the context's name does not travel
					}
					b.WriteString(name + " " + types.ExprString(field.Type) + ",")
				}
				b.WriteString(importsOf(f, field.Type))
			}
		}
		b.WriteString(")")
	}
	return b.String()
}

// typeText writes a type's declaration, with the tags of its fields.
func typeText(f *ast.File, spec *ast.TypeSpec) string {
	var b strings.Builder
	if spec.Assign.IsValid() {
		b.WriteString("=")
	}
	b.WriteString(types.ExprString(spec.Type) + importsOf(f, spec.Type))
	ast.Inspect(spec.Type, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && field.Tag != nil {
			b.WriteString(field.Tag.Value)
		}
		return true
	})
	return b.String()
}

// importsOf writes the import paths of the packages that an expression names.
func importsOf(f *ast.File, expr ast.Expr) string {
	var b strings.Builder
	ast.Inspect(expr, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		id, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, s := range f.Imports {
			if path, err := strconv.Unquote(s.Path.Value); err == nil && slices.Contains(importNames(s, path), id.Name) {
				b.WriteString(" " + path)
			}
		}
		return true
	})
	return b.String()
}

// importNames returns the names that an import may have in its file: its own,
// or those that a package of this path may have.
func importNames(s *ast.ImportSpec, path string) []string {
	if s.Name != nil {
		return []string{s.Name.Name}
	}
	var names []string
	for _, name := range []string{assumedName(path), path[strings.LastIndexByte(path, '/')+1:]} {
		name, _, _ = strings.Cut(name, ".")
		if token.IsIdentifier(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
