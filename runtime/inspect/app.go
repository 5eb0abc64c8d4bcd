package inspect

import (
	"encoding/json"
	"time"
)

// TaskInfo describes a registered task: a copy.
type TaskInfo struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	// Func is the name of the Go function.
	Func     string        `json:"func"`
	Queue    string        `json:"queue"`
	Retries  int           `json:"retries"`
	Timeout  time.Duration `json:"timeout,omitempty"` // in nanoseconds, zero is none
	Priority int           `json:"priority,omitempty"`
	// Tags are the default tags.
	Tags map[string]string `json:"tags,omitempty"`
	// Params are the parameters on the wire, in order.
	Params []ParamInfo `json:"params"`
	// Example is an argument object in which each parameter has its zero value,
	// nil if a zero value cannot be enqueued.
	Example json.RawMessage `json:"example,omitempty"`
	// Client: the app can enqueue the task, and other processes run it.
	Client bool `json:"client,omitempty"`
}

// ParamInfo is one parameter of a registered task; see [wire.Param].
type ParamInfo struct {
	Name string `json:"name"`
	// Type is the fingerprint of the type, such as "string" or "Order:9f86d081".
	Type     string `json:"type"`
	Optional bool   `json:"optional,omitempty"`
	Redact   bool   `json:"redact,omitempty"`
	// Inline: the fields of the value are the arguments. Secret are the keys of those
	// that are redacted.
	Inline bool     `json:"inline,omitempty"`
	Secret []string `json:"secret,omitempty"`
}

// ContextInfo describes a registered context type: a copy.
type ContextInfo struct {
	// Type is the type as Go writes it, such as "*main.IndexContext".
	Type string `json:"type"`
	// Tasks are the names of the tasks that get one.
	Tasks []string `json:"tasks,omitempty"`
	// Values are its fields, but for other context types, and those left alone.
	Values []ContextValue `json:"values,omitempty"`
	// Contexts are the registered context types that it is made with.
	Contexts []string `json:"contexts,omitempty"`
	// Providers make values of its fields, or are called with what others make, each
	// after those that it is called with.
	Providers []ProviderInfo `json:"providers,omitempty"`
	// Supplies are the types of the values that the app must be given for it, by
	// [runtime.Supply].
	Supplies []string `json:"supplies,omitempty"`
}

// ProviderInfo describes a provider: a function that makes values for contexts.
type ProviderInfo struct {
	// Name is the package and the function, such as "main.openDB".
	Name string `json:"name"`
	Type string `json:"type"`
	// Scope is how long a value lives: "process", "worker" or "task".
	Scope string `json:"scope"`
	// Providers, Contexts and Supplies are what it is called with: names of other
	// providers, and types.
	Providers []string `json:"providers,omitempty"`
	Contexts  []string `json:"contexts,omitempty"`
	Supplies  []string `json:"supplies,omitempty"`
}

// ContextValue is what a task finds in a field of its context.
type ContextValue struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Supplied: the field has a value given with [runtime.Supply], else one of a provider: By
	// is its name, or what the field's tag calls it, empty if it is not known.
	Supplied bool   `json:"supplied,omitempty"`
	By       string `json:"by,omitempty"`
	// Lazy: the provider is asked when the task calls the field.
	Lazy bool `json:"lazy,omitempty"`
}

// ScheduleInfo is a schedule that [runtime.Every] was called with: a copy.
type ScheduleInfo struct {
	Name string `json:"name"`
	// Task is the name of the task that it enqueues.
	Task string `json:"task"`
	// Next is the next tick, zero if there is none or if the schedule fails.
	Next time.Time `json:"next,omitzero"`
	// LastTick is the last tick up to now, whether or not a worker was there for it, zero
	// if there was none for five years or if the schedule fails.
	LastTick time.Time `json:"last_tick,omitzero"`
	// CatchUp says that the app makes up for a tick that was missed.
	CatchUp bool `json:"catch_up,omitempty"`
	// CatchUpAll is for how long it makes up for all of them, zero for the last alone.
	CatchUpAll time.Duration `json:"catch_up_all,omitempty"`
	// SkipMissed says that a tick that comes late is left out.
	SkipMissed bool `json:"skip_missed,omitempty"`
}
