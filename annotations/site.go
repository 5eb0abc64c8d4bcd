package annotations

import (
	"go/ast"
	"go/types"
)

// site is the declaration under a comment group.
type site struct {
	target Target
	what   string // in words; empty for nothing
	fun    *ast.FuncDecl
	typ    *ast.TypeSpec
}

// site returns the declaration under the comment group.
func (p *parser) site(g *ast.CommentGroup) site {
	if p.sites == nil {
		p.sites = map[*ast.CommentGroup]site{}
		if p.file.Doc != nil {
			p.sites[p.file.Doc] = site{target: OnPackage, what: string(OnPackage)}
		}
		for _, decl := range p.file.Decls {
			p.addDecl(decl)
		}
	}
	return p.sites[g]
}

func (p *parser) addDecl(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		p.add(d.Doc, site{target: OnFunc, what: "func " + d.Name.Name, fun: d})
	case *ast.GenDecl:
		p.add(d.Doc, site{what: "a declaration of " + d.Tok.String()})
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				t := typeSite(s)
				p.addMethods(s)
				p.add(s.Doc, t)
				p.add(s.Comment, site{what: "the end of a line"})
				if !d.Lparen.IsValid() {
					p.add(d.Doc, t)
				}
			case *ast.ValueSpec:
				p.add(s.Doc, site{what: "a declaration of " + d.Tok.String()})
				p.add(s.Comment, site{what: "the end of a line"})
			}
		}
	}
}

// addMethods adds the methods of an interface, on which no directive may stand.
func (p *parser) addMethods(s *ast.TypeSpec) {
	if i, ok := ast.Unparen(s.Type).(*ast.InterfaceType); ok {
		for _, m := range i.Methods.List {
			p.add(m.Doc, site{what: "a method of the interface " + s.Name.Name})
		}
	}
}

func (p *parser) add(g *ast.CommentGroup, s site) {
	if g != nil {
		p.sites[g] = s
	}
}

// typeSite is the site of a type's declaration, with the comments inside it.
func typeSite(s *ast.TypeSpec) site {
	if mayBeStruct(s.Type) && !s.Assign.IsValid() {
		return site{target: OnStruct, what: "type " + s.Name.Name, typ: s}
	}
	return site{what: "type " + s.Name.Name + ", which is no struct type"}
}

// mayBeStruct reports whether the type is a struct type, or a name that may be
// one: this package knows no types.
func mayBeStruct(t ast.Expr) bool {
	switch t := ast.Unparen(t).(type) {
	case *ast.StructType, *ast.SelectorExpr, *ast.IndexExpr, *ast.IndexListExpr:
		return true
	case *ast.Ident:
		return types.Universe.Lookup(t.Name) == nil
	}
	return false
}
