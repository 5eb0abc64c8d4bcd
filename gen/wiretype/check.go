// Package wiretype tells whether values of a Go type come back equal from JSON,
// how to list a parameter of the type to the runtime, and by which fingerprint
// two versions of a type are told apart. It knows types only as go/types has
// them: nothing is run.
package wiretype

import (
	"fmt"
	"go/types"
	"strings"
)

// Problem is one reason why values of a type do not survive JSON.
type Problem struct {
	// Path leads from the value to the part at fault: ".Items[].Price". It is
	// empty for the value itself. A key of a map is "[key]".
	Path string
	// Reason says what goes wrong.
	Reason string
	// Fix says what to do instead.
	Fix string
}

// Check returns every reason why values of t would not come back equal, in the
// order of the source, none if they do. A type is reported where it is met
// first. A type that encodes and decodes itself is trusted, unless it is known
// to lose something. Types are called as they are in the package from, which may
// be nil.
func Check(t types.Type, from *types.Package) []Problem {
	c := checker{from: from, seen: map[seen]bool{}}
	c.check(t, "")
	return c.problems
}

type checker struct {
	from     *types.Package
	problems []Problem
	seen     map[seen]bool
	depth    int
}

// maxDepth ends the check of types that never end, which do not compile either.
const maxDepth = 200

// seen is a named type that was checked, by itself or behind a pointer.
type seen struct {
	t      types.Type
	behind bool
}

func (c *checker) report(path, fix, reason string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Reason: fmt.Sprintf(reason, args...), Fix: fix})
}

// check reports what is wrong with values of type t.
func (c *checker) check(t types.Type, path string) { c.value(t, false, path) }

// value is check for values that may be behind a pointer.
func (c *checker) value(t types.Type, behind bool, path string) {
	if c.depth++; c.depth > maxDepth {
		return
	}
	defer func() { c.depth-- }()
	t = types.Unalias(t)
	if named, ok := t.(*types.Named); ok {
		if at := (seen{t, behind}); c.seen[at] {
			return
		} else {
			c.seen[at] = true
		}
		if w, ok := wellKnown[qualified(named)]; ok {
			if w.lossy != "" && !(w.pointer && behind) {
				c.report(path, w.fix, "%s %s", c.name(t), w.lossy)
			}
			return
		}
	}
	if c.marshaler(t, behind, path) {
		return
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		c.basic(t, u, path)
	case *types.Pointer:
		c.pointer(u, path)
	case *types.Slice:
		c.check(u.Elem(), path+"[]")
	case *types.Array:
		c.check(u.Elem(), path+"[]")
	case *types.Map:
		c.key(u.Key(), path+"[key]")
		c.check(u.Elem(), path+"[]")
	case *types.Struct:
		c.structure(u, path)
	case *types.Interface:
		c.iface(t, u, path)
	case *types.Chan:
		c.report(path, "pass what is sent through it", "JSON has no channels")
	case *types.Signature:
		c.report(path, "pass data, and choose the function in the task", "JSON has no functions")
	default:
		c.report(path, "pass a plain value", "JSON has no %s", c.name(t))
	}
}

func (c *checker) basic(t types.Type, b *types.Basic, path string) {
	switch {
	case b.Kind() == types.Invalid:
		c.report(path, "mend the type's own errors first", "the type is not known")
	case b.Kind() == types.Uintptr, b.Kind() == types.UnsafePointer:
		c.report(path, "pass the data itself", "%s is an address, which means nothing in another process", c.name(t))
	case b.Info()&types.IsComplex != 0:
		c.report(path, "pass the two parts as floats", "JSON has no complex numbers")
	}
}

// pointer reports pointers whose target may be null in JSON itself: a pointer
// to null comes back as nil.
func (c *checker) pointer(p *types.Pointer, path string) {
	elem := types.Unalias(p.Elem())
	if nullable(elem) {
		c.report(path, "pass "+c.name(elem),
			"JSON does not tell a nil *%s from a pointer to a null %s", c.name(elem), c.name(elem))
		return
	}
	c.value(elem, true, path)
}

// nullable reports whether a value of type t may be null in JSON.
func nullable(t types.Type) bool {
	if w, ok := wellKnown[qualified(t)]; ok {
		return w.null
	}
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Slice, *types.Map:
		return true
	}
	return false
}

func (c *checker) iface(t types.Type, i *types.Interface, path string) {
	if types.IsInterface(t) && isTypeParam(t) {
		c.report(path, "use a concrete type", "%s is a type parameter, so its values' type is not known", c.name(t))
		return
	}
	fix := "use a concrete type"
	if i.Empty() {
		fix += ", or json.RawMessage for free JSON"
	}
	if t.String() == "error" {
		fix = "pass the error's text as a string"
	}
	c.report(path, fix, "%s is an interface: JSON does not keep which type was in it", c.name(t))
}

func isTypeParam(t types.Type) bool {
	_, ok := t.(*types.TypeParam)
	return ok
}

// qualified returns the import path and name of a named type, "" for others.
func qualified(t types.Type) string {
	named, ok := types.Unalias(t).(*types.Named)
	if !ok {
		return ""
	}
	obj := named.Obj()
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}

// name is how a type is called: packages by their names.
func name(t types.Type) string { return nameFrom(t, nil) }

// name is how a type is called in messages.
func (c *checker) name(t types.Type) string { return nameFrom(t, c.from) }

// nameFrom is how a type is called in a package.
func nameFrom(t types.Type, from *types.Package) string {
	s := types.TypeString(t, func(pkg *types.Package) string {
		if pkg == from {
			return ""
		}
		return pkg.Name()
	})
	if strings.Contains(s, "interface{}") {
		s = strings.ReplaceAll(s, "interface{}", "any")
	}
	return s
}
