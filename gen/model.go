package gen

import (
	"fmt"
	"go/build/constraint"
	"go/token"
	"go/types"
	"slices"
	"time"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/diag"
	"github.com/taskctx/taskctx/gen/load"
)

// Package is taskgen's model of one package.
type Package struct {
	Path, Name, Dir string
	Tasks           []*Task
	// Contexts are the context types to construct and register, each after
	// those that it is built on.
	Contexts []*ContextType
	// Providers are all of the package's providers.
	Providers []*Provider
	// Clients are for tasks of other packages.
	Clients []*Client

	load       *load.Package
	loader     *load.Loader
	constraint string                          // the build constraint of the generated file
	builds     constraint.Expr                 // the same, nil for none
	importOf   func(path string) *load.Package // an import that is read from its source, or nil
	diags      []diag.Diagnostic
	notes      []diag.Diagnostic

	elsewhereTasks bool // a client's tasks are in files of another build
}

// Task is a function that is a task.
type Task struct {
	// Func is the function's name, a method's with its type, Doc its comment without directives.
	Func, Doc string
	// Name is the task's name on the wire, and Aliases its old ones.
	Name    string
	Aliases []string
	Durable bool
	Queue   string
	Retries int
	// Delay, Backoff and MaxDelay are zero where they were not given.
	Delay    *time.Duration
	Backoff  float64
	MaxDelay time.Duration
	Timeout  time.Duration
	Priority int
	// Unique is the time, UniqueHold the word that was given instead of a
	// time.
	Unique           time.Duration
	UniqueHold       string
	Keep, KeepFailed time.Duration
	// Limit is how many run at a time, zero if there is no such limit, and OrderBy
	// the parameter whose values keep an order, "" if none does.
	Limit   int
	LimitBy []LimitBy
	// Rate is how many runs begin in a time, zero if there is none.
	Rate    Rate
	RateBy  []RateBy
	OrderBy string
	Tags    []Tag
	// Context is the type of the first parameter.
	Context types.Type
	// Params are the other parameters.
	Params   []*Param
	Variadic bool
	// Result is nil for a task that returns only an error. For an iterator it
	// is the slice that the task's caller gets.
	Result types.Type
	// Elem is the type of an iterator's values, nil for other tasks. Each is
	// the function that gets them, "" if there is none.
	Elem types.Type
	Each string
	// EachResult: Each returns a value beside its error.
	EachResult bool

	// Receiver is how the receiver of a method is filled, nil for a function.
	Receiver *Value

	directive *annotations.Directive
	obj       *types.Func
	file      string  // that has the function, without its directory
	client    *Client // of which the task is, nil for one of the package's own
}

// LimitBy is how many run at a time for each value of a parameter.
type LimitBy struct {
	Param string
	Most  int
}

// Rate is how many runs begin in a time.
type Rate struct {
	N   int
	Per time.Duration
}

// RateBy is the Rate for each value of a parameter.
type RateBy struct {
	Param string
	Rate
}

// Tag is a default tag.
type Tag struct{ Key, Value string }

// Param is a parameter of a task that travels.
type Param struct {
	Name             string
	Key              string // its name on the wire
	Type             types.Type
	Sig              string // its fingerprint
	Optional, Redact bool
	// Inline: the fields of the value are all that the arguments have, Key is "*",
	// and Secret are the keys of those that are redacted.
	Inline bool
	Secret []string

	fields   []string // the keys of an inline parameter's fields
	joined   bool     // declared with the parameter before it: a, b string
	pos, end token.Pos
}

// ContextType is a struct that tasks take as their context.
type ContextType struct {
	Name   string
	Type   *types.Named
	Fields []*Field
	// Needs are the needs of its constructor, each once: supplies, and context
	// types of other packages.
	Needs []Need
	// Providers make what it needs, each after those of its parameters.
	Providers []*Provider
	// By is the provider that replaces the constructor, or nil.
	By *Provider

	pos token.Pos
}

// Source is the source of a value.
type Source int

// The sources of values.
const (
	FromRun      Source = iota + 1 // the run's own context
	FromContext                    // a context type of the package, by its constructor
	FromForeign                    // a context type of another package
	FromProvider                   // a provider
	FromSupply                     // a supply
)

// Value is the way in which a field or a parameter of a provider is filled.
type Value struct {
	Source   Source
	Type     types.Type
	Context  *ContextType // for FromContext
	Provider *Provider    // for FromProvider
	// Deref: the value is the target of a pointer.
	Deref bool
	// Lazy: the value is a function that gives what the provider makes, at its
	// first call.
	Lazy bool
}

// Field is a field of a context type that is filled.
type Field struct {
	Name string
	Value
	pos token.Pos
}

// Need is a requirement of a constructor on the app.
type Need struct {
	Type    types.Type
	Context bool // a context type, else a supply
}

// Provider is a function that makes values.
type Provider struct {
	Func  string
	Scope string // process, worker or task
	Type  types.Type
	// Ctx is the kind of its first parameter.
	Ctx CtxParam
	// Params are its other parameters. Method: the first is its receiver.
	Params   []Value
	Method   bool
	HasError bool
	Cleanup  Cleanup

	directive *annotations.Directive
	obj       *types.Func
	names     []string // of the parameters, for messages
}

// CtxParam is the kind of a provider's first parameter.
type CtxParam int

// The first parameters of providers.
const (
	NoCtx    CtxParam = iota
	PlainCtx          // context.Context
	TaskCtx           // *runtime.Context
)

// Cleanup is the kind of a provider's cleanup.
type Cleanup int

// The kinds of cleanups.
const (
	NoCleanup Cleanup = iota
	CleanFunc         // func()
	CleanErr          // func() error
	CleanTask         // func(error) error
)

func (p *Package) empty() bool {
	return !p.serves() && len(p.Clients) == 0
}

// serves reports whether the package has something to register.
func (p *Package) serves() bool { return len(p.Tasks) > 0 || len(p.Contexts) > 0 }

// enqueued returns the tasks that the package can enqueue: its own, and those that
// it is a client of.
func (p *Package) enqueued() []*Task {
	all := slices.Clone(p.Tasks)
	for _, c := range p.Clients {
		all = append(all, c.Tasks...)
	}
	return all
}

// report adds a diagnostic.
func (p *Package) report(pos, end token.Pos, code, fix, format string, args ...any) *diag.Diagnostic {
	p.diags = append(p.diags, p.diagnostic(pos, end, code, fix, format, args...))
	return &p.diags[len(p.diags)-1]
}

// note adds advice, which keeps nothing from being generated.
func (p *Package) note(pos, end token.Pos, code, fix, format string, args ...any) *diag.Diagnostic {
	p.notes = append(p.notes, p.diagnostic(pos, end, code, fix, format, args...))
	return &p.notes[len(p.notes)-1]
}

func (p *Package) diagnostic(pos, end token.Pos, code, fix, format string, args ...any) diag.Diagnostic {
	d := diag.Diagnostic{Pos: p.at(pos), Code: code, Message: fmt.Sprintf(format, args...), Fix: fix}
	if end.IsValid() {
		d.End = p.at(end)
	}
	return d
}

// related adds a place to a diagnostic.
func (p *Package) related(d *diag.Diagnostic, pos token.Pos, format string, args ...any) {
	d.Related = append(d.Related, diag.Related{Pos: p.at(pos), Message: fmt.Sprintf(format, args...)})
}

// at returns the position as a line directive of its file has it, unless that
// names no file.
func (p *Package) at(pos token.Pos) token.Position {
	at := p.load.Fset.Position(pos)
	if at.Filename == "" {
		return p.load.Fset.PositionFor(pos, false)
	}
	return at
}

// typeName returns a type's text in this package.
func (p *Package) typeName(t types.Type) string {
	return types.TypeString(t, func(other *types.Package) string {
		if other == p.load.Types {
			return ""
		}
		return other.Name()
	})
}
