// Package wiretype decides whether values of a Go type come back equal from
// JSON, how a parameter of the type is listed to the runtime, and which
// fingerprint identifies a version of a type. It knows types only from
// go/types: nothing is run.
package wiretype

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// Problem is one reason why values of a type do not survive JSON.
type Problem struct {
	// Path leads from the value to the part at fault: ".Items[].Price". It is
	// empty for the value itself. A map's key is "[key]".
	Path string
	// Reason describes the loss.
	Reason string
	// Fix is the mend.
	Fix string
}

// Check returns every reason why values of t would not come back equal, in the
// order of the source, none if they do. A type is reported at its first place.
// A type that encodes and decodes itself is trusted, unless it is known to
// lose something. Types are named as in the package from, which may be nil.
func Check(t types.Type, from *types.Package) []Problem {
	c := checker{from: from, seen: map[seen]bool{}}
	c.check(t, "")
	return c.problems
}

// Limits are the limits of the values of a type that [Check] accepts.
type Limits struct {
	// Refused are the values that Enqueue refuses since they would not come
	// back equal, apart from those that no JSON holds.
	Refused []string
	// Trusted are the types that encode themselves: their values are as exact
	// as their methods.
	Trusted []string
}

// LimitsOf returns the limits of t. Its parts are named as in the package
// from, which may be nil.
func LimitsOf(t types.Type, from *types.Package) Limits {
	c := checker{from: from, seen: map[seen]bool{}}
	c.check(t, "")
	return c.limits
}

type checker struct {
	from     *types.Package
	problems []Problem
	limits   Limits
	seen     map[seen]bool
	depth    int
}

// maxDepth ends the check of infinite types, which do not compile either.
const maxDepth = 200

// seen is a named type that was checked, by itself or behind a pointer.
type seen struct {
	t      types.Type
	behind bool
}

func (c *checker) report(path, fix, reason string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Reason: fmt.Sprintf(reason, args...), Fix: fix})
}

// check reports faults of values of type t.
func (c *checker) check(t types.Type, path string) { c.value(t, false, path) }

// value is check for values that may be behind a pointer.
func (c *checker) value(t types.Type, behind bool, path string) {
	if c.depth++; c.depth > maxDepth {
		return
	}
	defer func() { c.depth-- }()
	written, q := t, qualified(t)
	t = types.Unalias(t)
	if q != "" {
		if at := (seen{t, behind}); c.seen[at] {
			return
		} else {
			c.seen[at] = true
		}
	}
	if w, ok := wellKnown[q]; ok {
		if w.lossy != "" && !(w.pointer && behind) {
			c.report(path, w.fix, "%s %s", c.name(written), w.lossy)
		}
		add(&c.limits.Refused, w.values)
		if w.note != "" {
			add(&c.limits.Trusted, c.name(written)+", which "+w.note)
		}
		return
	}
	if c.marshaler(t, behind, path) {
		return
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		c.basic(t, u, path)
	case *types.Pointer:
		c.pointer(t, u, path)
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
// to null comes back as nil. It reports named pointers, t, to targets that
// decode themselves: encoding/json of Go 1.26 looks for the methods of a
// pointer's own type.
func (c *checker) pointer(t types.Type, p *types.Pointer, path string) {
	elem := p.Elem()
	m := methodsOf(elem)
	_, isNamed := t.(*types.Named)
	switch {
	case nullable(elem):
		c.report(path, "pass "+c.name(elem),
			"JSON does not tell a nil *%s from a pointer to a null %s", c.name(elem), c.name(elem))
	case isNamed && m.any():
		c.report(path, "use *"+c.name(elem),
			"%s is a pointer type of its own, for which encoding/json does not find the methods of %s", c.name(t), c.name(elem))
	default:
		if w, ok := wellKnown[qualified(elem)]; m.json() && (!ok || w.note != "") {
			add(&c.limits.Refused, "a pointer to a "+c.name(elem)+" that encodes itself as null")
		}
		c.value(elem, true, path)
	}
}

// add adds a text unless it is there.
func add(list *[]string, text string) {
	if text != "" && !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
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

// name returns a type's name, with the packages' names.
func name(t types.Type) string { return nameFrom(t, nil) }

// name returns a type's name for messages.
func (c *checker) name(t types.Type) string { return nameFrom(t, c.from) }

// nameFrom returns a type's name in a package.
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
