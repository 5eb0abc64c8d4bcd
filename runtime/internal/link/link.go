// Package link is what the package glue hands to an App: tasks and contexts with
// their types erased, so that the App has a door for generated code that its readers
// need not see.
package link

import (
	"fmt"
	"reflect"

	"github.com/taskctx/taskctx/runtime/wire"
)

// Type is a reflect.Type.
type Type interface {
	String() string
	PkgPath() string
}

// TypeOf returns the type that p, which may be nil, points to. It is not inlined:
// then it would be compiled in packages with tasks, and reflect.Type with it.
//
//go:noinline
func TypeOf(p any) Type { return reflect.TypeOf(p).Elem() }

// Task is a task to register.
type Task struct {
	Def     *wire.Definition
	Args    Type // a struct, whose pointer is a glue.Runnable; nil of a task described by hand
	Context Type // of the task's first parameter
	// Call builds the context, calls the function and has its result encoded, all
	// before any cleanup: a result that cannot be encoded is not committed. It is a
	// func(build, args any, ctx *runtime.Context, result *runtime.Result) (built bool,
	// err error), nil for a task that other processes run.
	Call  any
	Needs []Need // of the task itself, as its receiver
	Hand  *Hand  // nil of generated code
}

// Hand is what a task described by hand has instead of Task.Args.
type Hand struct {
	Args Type                           // a struct, whose pointer is a glue.Runnable
	Init func(args any)                 // completes new ones
	List func(args any, f *wire.Fields) // lists them
}

// Need is one requirement: one of the three.
type Need struct {
	Supply   Type
	Context  Type
	Provider *Provider
}

// Provider is a provider of a context's values, and what it is called with.
type Provider struct {
	Name  string
	Type  Type
	Scope string
	Needs []Need
}

// SupplyCall is the call that supplies a value of the type.
func SupplyCall(t Type) string { return fmt.Sprintf("runtime.Supply[%s](app, ...)", t) }
