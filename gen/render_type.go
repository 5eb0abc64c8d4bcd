package gen

import (
	"go/types"
	"strconv"
	"strings"
	"unicode"

	"github.com/dave/jennifer/jen"
)

// typ writes a type as the user would write it in this package.
func (r *renderer) typ(t types.Type) *jen.Statement {
	switch t := t.(type) {
	case *types.Alias:
		obj := t.Obj()
		if obj.Pkg() == nil {
			return r.predeclared(obj.Name())
		}
		if obj.Parent() == obj.Pkg().Scope() && (obj.Exported() || obj.Pkg() == r.load.Types) && !r.isClientOf(obj.Pkg()) {
			return r.instance(r.qual(obj.Pkg(), obj.Name()), t.TypeArgs())
		}
		return r.typ(t.Rhs())
	case *types.Named:
		if t.Obj().Pkg() == nil {
			return r.predeclared(t.Obj().Name())
		}
		return r.instance(r.qual(t.Obj().Pkg(), t.Obj().Name()), t.TypeArgs())
	case *types.Basic:
		if t.Kind() == types.UnsafePointer {
			return r.qual(types.Unsafe, t.Name())
		}
		return r.predeclared(t.Name())
	case *types.Pointer:
		return jen.Op("*").Add(r.typ(t.Elem()))
	case *types.Slice:
		return jen.Index().Add(r.typ(t.Elem()))
	case *types.Array:
		return jen.Index(r.length(t)).Add(r.typ(t.Elem()))
	case *types.Map:
		return jen.Map(r.typ(t.Key())).Add(r.typ(t.Elem()))
	case *types.Chan:
		return r.channel(t)
	case *types.Signature:
		return jen.Func().Add(r.signature(t))
	case *types.Struct:
		return r.structure(t, true)
	case *types.Interface:
		return r.iface(t)
	case *types.Union: // where Go does not allow one: the compiler says so
		var u jen.Statement
		for term := range t.Terms() {
			if len(u) > 0 {
				u.Op("|")
			}
			if term.Tilde() {
				u.Op("~")
			}
			u.Add(r.typ(term.Type()))
		}
		return &u
	}
	panic("gen: a type that no declaration has: " + t.String())
}

// namesIn returns the names that the text of a type has, perhaps more than it
// refers to.
func (r *renderer) namesIn(t types.Type) []string {
	text := types.TypeString(t, func(p *types.Package) string {
		if p.Path() == r.Path {
			return ""
		}
		name, _ := r.importName(p)
		return name
	})
	names := strings.FieldsFunc(text, func(c rune) bool { return c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	return append(names, r.lengthNames(t)...)
}

// instance adds type arguments to a generic type's name.
func (r *renderer) instance(name *jen.Statement, args *types.TypeList) *jen.Statement {
	if args.Len() == 0 {
		return name
	}
	var list []jen.Code
	for a := range args.Types() {
		list = append(list, r.typ(a))
	}
	return name.Types(list...)
}

func (r *renderer) channel(t *types.Chan) *jen.Statement {
	elem := r.typ(t.Elem())
	switch t.Dir() {
	case types.RecvOnly:
		return jen.Op("<-").Chan().Add(elem)
	case types.SendOnly:
		return jen.Chan().Op("<-").Add(elem)
	}
	if inner, ok := t.Elem().(*types.Chan); ok && inner.Dir() == types.RecvOnly {
		elem = jen.Parens(elem)
	}
	return jen.Chan().Add(elem)
}

// signature writes the parameters and results of a function's type.
func (r *renderer) signature(t *types.Signature) *jen.Statement {
	var in, out []jen.Code
	for i := range t.Params().Len() {
		typ := t.Params().At(i).Type()
		if t.Variadic() && i == t.Params().Len()-1 {
			in = append(in, jen.Op("...").Add(r.typ(typ.(*types.Slice).Elem())))
		} else {
			in = append(in, r.typ(typ))
		}
	}
	for v := range t.Results().Variables() {
		out = append(out, r.typ(v.Type()))
	}
	s := jen.Params(in...)
	switch len(out) {
	case 0:
	case 1:
		s.Add(out[0])
	default:
		s.Params(out...)
	}
	return s
}

// structure writes a struct type, on one line: gofmt gives each field a line of
// its own unless it is a single short one. Tags are part of the type, but no
// matter to a conversion.
func (r *renderer) structure(t *types.Struct, tags bool) *jen.Statement {
	var fields []jen.Code
	for i := range t.NumFields() {
		f := t.Field(i)
		typ := r.typ(f.Type())
		if !f.Embedded() {
			typ = jen.Id(f.Name()).Add(typ)
		}
		if tag := t.Tag(i); tags && tag != "" {
			if strconv.CanBackquote(tag) {
				typ.Op("`" + tag + "`")
			} else {
				typ.Lit(tag)
			}
		}
		fields = append(fields, typ)
	}
	return jen.Custom(jen.Options{Open: "struct{", Close: "}", Separator: ";"}, fields...)
}

func (r *renderer) iface(t *types.Interface) *jen.Statement {
	var list []jen.Code
	for m := range t.ExplicitMethods() {
		list = append(list, jen.Id(m.Name()).Add(r.signature(m.Signature())))
	}
	for e := range t.EmbeddedTypes() {
		list = append(list, r.typ(e))
	}
	if len(list) == 0 {
		return r.predeclared("any")
	}
	return jen.Interface(list...)
}

// zero writes the zero value of a type.
func (r *renderer) zero(t types.Type) *jen.Statement {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsBoolean != 0:
			return jen.False()
		case u.Info()&types.IsString != 0:
			return jen.Lit("")
		case u.Info()&types.IsNumeric != 0:
			return jen.Lit(0)
		}
	case *types.Struct, *types.Array:
		return r.typ(t).Values()
	}
	return jen.Nil()
}
