package runtime

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Errors of tasks and schedules by their names. Test for them with errors.Is.
var (
	// ErrUnknownTask: the app has no task of the name.
	ErrUnknownTask = errors.New("no task of this name is registered")
	// ErrUnknownSchedule: the app has no schedule of the name.
	ErrUnknownSchedule = errors.New("no schedule of this name is registered")
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

// Tasks returns the registered tasks by name, with those of clients.
func (a *App) Tasks() []TaskInfo {
	a.mu.Lock()
	regs := slices.Clone(a.tasks)
	for _, c := range a.clients {
		if !slices.ContainsFunc(a.tasks, func(r *registration) bool { return r.def.Name == c.def.Name }) {
			regs = append(regs, c)
		}
	}
	a.mu.Unlock()
	infos := make([]TaskInfo, len(regs))
	for i, reg := range regs {
		infos[i] = reg.info()
		infos[i].Client = reg.client()
	}
	slices.SortStableFunc(infos, func(x, y TaskInfo) int { return cmp.Compare(x.Name, y.Name) })
	return infos
}

func (reg *registration) info() TaskInfo {
	s := &reg.def.Spec
	t := TaskInfo{
		Name: s.Name, Aliases: slices.Clone(s.Aliases), Func: s.Func, Queue: reg.def.derive().queue, Retries: s.Retries,
		Timeout: s.Timeout, Priority: s.Priority, Tags: maps.Clone(s.Tags), Params: make([]ParamInfo, len(s.Params)),
	}
	for i, p := range s.Params {
		t.Params[i] = ParamInfo{
			Name: p.Name, Type: p.Sig, Optional: p.Optional, Redact: p.Redact, Inline: p.Inline, Secret: slices.Clone(p.Secret),
		}
	}
	t.Example = reg.example()
	return t
}

// example returns arguments that are zero, nil if those cannot be encoded.
func (reg *registration) example() (example json.RawMessage) {
	err := guard.Isolated(func() error { // methods of the arguments are the user's
		args, err := reg.arguments()
		if err != nil {
			return err
		}
		example, err = wire.Marshal(args)
		return err
	})
	if err != nil {
		return nil
	}
	return example
}

// CallOf returns the call of the registered task, or of a client's, with this name
// or alias, with arguments as JSON: one object keyed by parameter name. Arguments
// that a worker of this app would not read are an error, as are those that a Validate method
// refuses ([*wire.InvalidError]); a name that is not registered is [ErrUnknownTask].
// No error shows a value.
func (a *App) CallOf(name string, args json.RawMessage, opts ...Option) (Call[json.RawMessage], error) {
	var none Call[json.RawMessage]
	reg := a.known(name)
	if reg == nil {
		return none, fmt.Errorf("call %q: %w", name, ErrUnknownTask)
	}
	var payload json.RawMessage
	err := guard.Isolated(func() (err error) { // methods of the arguments are the user's
		typed, err := reg.arguments()
		if err != nil {
			return err
		}
		if err := wire.Unmarshal(args, typed, reg.def.Params); err != nil {
			return reg.def.hideSecrets(err)
		}
		payload, err = wire.Marshal(typed)
		return err
	})
	if err != nil {
		return none, fmt.Errorf("call %s: %w", reg.def.Name, err)
	}
	return Call[json.RawMessage]{AnyCall: newCall(reg.def, payload, nil, opts)}, nil
}

// arguments returns a function that lists the arguments of a task, each of
// them zero.
func (reg *registration) arguments() (list func(*wire.Fields), err error) {
	own := *reg
	if own.alloc == nil {
		if err := own.lay(); err != nil {
			return nil, err
		}
	}
	_, args := own.alloc()
	return func(f *wire.Fields) { own.list(args, f) }, nil
}
