package wire

import (
	"reflect"
	"sync"
)

// endless reports whether pointers in v lead back to themselves with no JSON
// between them. encoding/json of Go 1.27 follows those until the stack
// overflows, which ends the process; it finds other cycles. Only types with an
// interface or a pointer to a pointer have such values, and taskgen refuses
// both.
func endless(v reflect.Value) bool {
	return v.IsValid() && hasChain(v.Type()) && (&chains{seen: map[link]int{}}).endless(v)
}

// link is a pointer, a slice or a map, with its type.
type link struct {
	t   reflect.Type
	at  uintptr
	len int
}

// chains walks a value. A chain is a row of pointers and interfaces without
// JSON between them.
type chains struct {
	seen  map[link]int // in which chain each was
	chain int          // the current one
	last  int
}

func (c *chains) endless(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Interface:
		return c.endless(v.Elem())
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if v.IsNil() {
			return false
		}
		l := link{t: v.Type(), at: v.Pointer()}
		if v.Kind() == reflect.Slice {
			l.len = v.Len()
		}
		if chain, ok := c.seen[l]; ok {
			return chain == c.chain && v.Kind() == reflect.Pointer
		}
		c.seen[l] = c.chain
		if v.Kind() == reflect.Pointer {
			return c.endless(v.Elem())
		}
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if c.part(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for _, elem := range v.Seq2() {
			if c.part(elem) {
				return true
			}
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if c.part(field) {
				return true
			}
		}
	}
	return false
}

// part is endless for a part of a value, which begins a chain.
func (c *chains) part(v reflect.Value) bool {
	chain := c.chain
	c.last++
	c.chain = c.last
	found := c.endless(v)
	c.chain = chain
	return found
}

// withChain holds, by reflect.Type, whether a type contains an interface or a
// pointer to a pointer.
var withChain sync.Map

func hasChain(t reflect.Type) bool {
	if has, ok := withChain.Load(t); ok {
		return has.(bool)
	}
	has := findChain(t, map[reflect.Type]bool{})
	withChain.Store(t, has)
	return has
}

func findChain(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || encodesItself(t) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer:
		return t.Elem().Kind() == reflect.Pointer || findChain(t.Elem(), seen)
	case reflect.Slice, reflect.Array, reflect.Map:
		return findChain(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if findChain(f.Type, seen) {
				return true
			}
		}
	}
	return false
}
