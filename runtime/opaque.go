package runtime

import "reflect"

// The compiler compiles the methods of a generic type again in each package that
// sees a type made of it, however deep in the fields and methods of others. Every
// package with tasks sees an App and a Context. So what these are made of has no
// generic types: a pointer to load and store is in an atomic.Value, or where a
// word counts an unsafe.Pointer, and a type whose methods name generic ones is
// behind an interface of this file.
//
// TestGeneratedShape_CompilesNothingOfOurs in gen holds it.

// table is a sync.Map.
type table interface {
	Load(key any) (value any, ok bool)
	LoadOrStore(key, value any) (actual any, loaded bool)
}

// goType is a reflect.Type.
type goType interface {
	String() string
	PkgPath() string
}

// typeOf returns the type that p, which may be nil, points to. It is not inlined:
// then it would be compiled in packages with tasks, and reflect.Type with it.
//
//go:noinline
func typeOf(p any) goType { return reflect.TypeOf(p).Elem() }
