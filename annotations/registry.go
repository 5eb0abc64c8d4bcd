// Package annotations is the grammar of the directive comments that taskgen
// reads, such as
//
//	//task:context queue=billing retries=5
//
// It knows all directives, the declarations that each may stand on, and the
// keys and values it takes; [Parse] reads the directives of a file, and
// reports every mistake at its own position. It knows no types: its callers
// check whether a function named in a directive exists.
package annotations

import (
	"strconv"
	"strings"
	"time"
)

// Tool is the name before the colon of every directive.
const Tool = "task"

// Durable is the flag of a task that remembers its steps.
const Durable = "durable"

// The verbs of the directives.
const (
	Context  = "context"
	Provide  = "provide"
	Defaults = "defaults"
	Client   = "client"
)

// The retry rules of a task that says nothing of them. Package runtime has the
// same, since neither may import the other: a test of the root compares them.
const (
	DefaultRetries  = 3
	DefaultDelay    = time.Second
	DefaultBackoff  = 2
	DefaultMaxDelay = time.Hour
)

// short writes a duration without the units that are zero: 1h, not 1h0m0s.
func short(d time.Duration) string {
	text, whole := strings.CutSuffix(d.String(), "m0s")
	if !whole {
		return text
	}
	if hours, ok := strings.CutSuffix(text, "h0"); ok {
		return hours + "h"
	}
	return text + "m"
}

// Target is the kind of declaration that a directive stands on.
type Target string

// The targets.
const (
	OnFunc    Target = "a function"
	OnStruct  Target = "a struct type"
	OnPackage Target = "the package clause"
)

// Kind is the kind of a key's value.
type Kind string

// Kinds of values, as the help shows them.
const (
	KindName     Kind = "NAME"     // a name on the wire: letters, digits and . _ - / :
	KindIdent    Kind = "FUNC"     // a Go identifier
	KindParam    Kind = "PARAM"    // a Go identifier, of a parameter
	KindIdents   Kind = "PARAMS"   // Go identifiers, with commas between
	KindDuration Kind = "DURATION" // as time.ParseDuration reads it, not negative
	KindPeriod   Kind = "PERIOD"   // a duration over zero
	KindHold     Kind = "HOLD"     // a period, or one of the words active and waiting
	KindCount    Kind = "N"        // a whole number from 0
	KindPriority Kind = "0..3"
	KindFactor   Kind = "FACTOR" // a number from 1
	KindTag      Kind = "KEY:VALUE"
	KindRename   Kind = "PARAM:NAME" // a parameter, and its key in the arguments
	KindLimit    Kind = "1..N"       // a whole number from 1
	KindLimitBy  Kind = "PARAM:N"    // a Go identifier, and a whole number from 1
	KindPackage  Kind = "PACKAGE"    // an import path, or a directory that begins with ./ or ../
	KindFuncs    Kind = "FUNCS"      // functions and methods (Shop.Order), with commas between
	KindRate     Kind = "N/TIME"     // a number from 1 to MaxRate, and a period or a unit of one
	KindRateBy   Kind = "PARAM:N/TIME"
)

// MaxRate is the highest number of a [KindRate].
const MaxRate = 10_000

// The words of [KindHold].
const (
	HoldActive  = "active"
	HoldWaiting = "waiting"
)

// Key is the definition of one key of a directive.
type Key struct {
	Name    string
	Kind    Kind
	Repeat  bool   // may be given more than once
	Must    bool   // must be given
	Default string // as it is shown in the help, empty if there is none
	Help    string
}

// Definition is the definition of a directive on one kind of declaration.
type Definition struct {
	Verb string
	On   Target
	// Repeat: a declaration may have several.
	Repeat bool
	// Words are the bare words of which exactly one must be given, if any.
	Words []string
	// Flags are the bare words that may be given, each once.
	Flags []Flag
	Keys  []Key
	Help  string
}

// Flag is the definition of a bare word that may be given.
type Flag struct {
	Name string
	Help string
}

// flag returns the definition of the flag, or nil.
func (d *Definition) flag(name string) *Flag {
	for i := range d.Flags {
		if d.Flags[i].Name == name {
			return &d.Flags[i]
		}
	}
	return nil
}

// key returns the definition of the key, or nil.
func (d *Definition) key(name string) *Key {
	for i := range d.Keys {
		if d.Keys[i].Name == name {
			return &d.Keys[i]
		}
	}
	return nil
}

// sharedKeys are the keys for which a package may give defaults.
var sharedKeys = []Key{
	{Name: "queue", Kind: KindName, Default: "default", Help: "the queue the task waits in"},
	{Name: "retries", Kind: KindCount, Default: strconv.Itoa(DefaultRetries), Help: "retries after the first run"},
	{Name: "delay", Kind: KindDuration, Default: short(DefaultDelay), Help: "the wait before the first retry"},
	{Name: "backoff", Kind: KindFactor, Default: strconv.Itoa(DefaultBackoff), Help: "how many times longer each further wait is"},
	{Name: "maxdelay", Kind: KindPeriod, Default: short(DefaultMaxDelay), Help: "the longest wait between retries"},
	{Name: "timeout", Kind: KindDuration, Help: "the longest that one attempt may take; 0 is no limit"},
	{Name: "priority", Kind: KindPriority, Default: "0", Help: "higher first within a queue"},
	{
		Name: "unique", Kind: KindHold,
		Help: "a second enqueue of the same arguments returns the first task: for a period,\n" +
			"until it has ended (active), or until it begins (waiting)",
	},
	{
		Name: "keep", Kind: KindPeriod,
		Help: "how long the record of a succeeded task stays, at least",
	},
	{
		Name: "keepfailed", Kind: KindPeriod,
		Help: "how long the record of a failed or cancelled task stays, at least",
	},
	{Name: "tag", Kind: KindTag, Repeat: true, Help: "a default tag"},
}

var registry = []*Definition{
	{
		Verb: Context, On: OnFunc,
		Help: "The function is a task. Its first parameter is the context: context.Context,\n" +
			"*runtime.Context, or a pointer to a struct that embeds *runtime.Context. The\n" +
			"others travel with the task. It returns error, (R, error), or iter.Seq2[T, error].\n" +
			"It may be a method: its receiver is what the provider of that type makes, or\n" +
			"else what the app was given, with runtime.Supply.",
		Flags: []Flag{{
			Name: Durable,
			Help: "the task remembers what it has done, and may wait for its children, for\n" +
				"signals and for time: see runtime.Step. Its context has nothing of task scope",
		}},
		Keys: append([]Key{
			{
				Name: "name", Kind: KindName, Default: "package.Func",
				Help: "the name on the wire; keep it when the function is renamed. That of a method\nis package.Type.Method",
			},
			{Name: "alias", Kind: KindName, Repeat: true, Help: "an old name that this function still serves"},
			{Name: "optional", Kind: KindIdents, Help: "parameters that an older task may lack"},
			{
				Name: "key", Kind: KindRename, Repeat: true,
				Help: "the name of a parameter in the arguments on the wire, where it is not its own:\nkey=userID:user_id",
			},
			{
				Name: "inline", Kind: KindIdent,
				Help: "the only parameter, a struct: its fields are the arguments on the wire, as a\n" +
					"program of asynq or River has them. redact= may then name keys of them",
			},
			{Name: "redact", Kind: KindIdents, Help: "parameters whose values are never shown"},
			{Name: "limit", Kind: KindLimit, Help: "how many of the tasks run at a time, in all processes"},
			{
				Name: "limitby", Kind: KindLimitBy, Repeat: true,
				Help: "how many run at a time for each value of a parameter",
			},
			{Name: "rate", Kind: KindRate, Help: "how many runs begin in a time, in all processes: rate=100/m, rate=5/10s"},
			{
				Name: "rateby", Kind: KindRateBy, Repeat: true,
				Help: "how many begin in a time for each value of a parameter: rateby=customer:100/m",
			},
			{
				Name: "orderby", Kind: KindParam,
				Help: "a parameter: for each value of it the tasks run one at a time, in the order of\n" +
					"enqueueing, and one that is retried or delayed keeps the others waiting",
			},
			{
				Name: "each", Kind: KindIdent,
				Help: "for a task that returns an iterator: the function that gets each value",
			},
		}, sharedKeys...),
	},
	{
		Verb: Context, On: OnStruct,
		Help: "The struct is a context type, even if no task of this package uses it. Tasks and\n" +
			"context types of other packages may take or embed it, by pointer: RegisterTasks\n" +
			"of this package is then needed too. Of any context type each exported field is\n" +
			"filled before a task runs, by the provider of its type in the same package, or\n" +
			"as its struct tag says. One of type func() (T, error) gets what a provider of T\n" +
			"makes when the task calls it:\n\n" +
			"  `task:\"supply\"`       what the app was given: runtime.Supply[T](app, value)\n" +
			"  `task:\"by=openDB\"`    what this one of several providers makes\n" +
			"  `task:\"-\"`            nothing",
	},
	{
		Verb: Provide, On: OnFunc, Words: []string{"process", "worker", "task"},
		Help: "The function makes the values of its first result's type for context types and\n" +
			"other providers: once per process, per worker, or per run of a task. It may take\n" +
			"a context.Context first, in task scope a *runtime.Context; its other parameters\n" +
			"are filled by providers, or supplied to the app, as is the receiver of a method.\n" +
			"It returns T or (T, error), and after T perhaps a cleanup: func(), func() error,\n" +
			"or in task scope func(error) error, which gets the task's error and may fail the\n" +
			"task itself.",
	},
	{
		Verb: Defaults, On: OnPackage, Keys: sharedKeys,
		Help: "Defaults for every task of the package.",
	},
	{
		Verb: Client, On: OnPackage, Repeat: true,
		Help: "The package can enqueue the tasks of another, which it does not import: it gets\n" +
			"their Enqueue functions and calls, without what runs them. The types of their\n" +
			"parameters and results must be of packages that do not import the other one.",
		Keys: []Key{
			{Name: "of", Kind: KindPackage, Must: true, Help: "the package with the tasks, of this module or workspace: of=../mail"},
			{Name: "skip", Kind: KindFuncs, Help: "the tasks to leave out, by their functions"},
		},
	},
}

// Definitions returns every definition, in the order of the documentation. The
// caller must not change them.
func Definitions() []*Definition { return registry }

// lookup returns the definitions of a verb.
func lookup(verb string) []*Definition {
	var defs []*Definition
	for _, d := range registry {
		if d.Verb == verb {
			defs = append(defs, d)
		}
	}
	return defs
}

// verbs returns the verbs, each once.
func verbs() []string { return []string{Context, Provide, Defaults, Client} }
