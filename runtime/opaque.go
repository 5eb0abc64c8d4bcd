package runtime

// The compiler compiles the methods of a generic type again in each package that
// sees a type made of it, however deep in the fields and methods of others. Every
// package with tasks sees an App and a Context. So what these are made of has no
// generic types: a pointer to load and store is in an atomic.Value, or where a
// word counts an unsafe.Pointer, and a type whose methods name generic ones is
// behind an interface: table, or link.Type.
//
// TestGeneratedShape_CompilesNothingOfOurs in gen holds it.

// table is a sync.Map.
type table interface {
	Load(key any) (value any, ok bool)
	LoadOrStore(key, value any) (actual any, loaded bool)
}
