package runtime

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Tasks returns the registered tasks by name, with those of clients.
func (a *App) Tasks() []inspect.TaskInfo {
	a.mu.Lock()
	regs := slices.Clone(a.tasks)
	for _, c := range a.clients {
		if !slices.ContainsFunc(a.tasks, func(r *registration) bool { return r.def.Name == c.def.Name }) {
			regs = append(regs, c)
		}
	}
	a.mu.Unlock()
	infos := make([]inspect.TaskInfo, len(regs))
	for i, reg := range regs {
		infos[i] = reg.info()
		infos[i].Client = reg.client()
	}
	slices.SortStableFunc(infos, func(x, y inspect.TaskInfo) int { return cmp.Compare(x.Name, y.Name) })
	return infos
}

func (reg *registration) info() inspect.TaskInfo {
	s := &reg.def.Spec
	t := inspect.TaskInfo{
		Name: s.Name, Aliases: slices.Clone(s.Aliases), Func: s.Func, Queue: reg.def.Derive().Queue, Retries: s.Retries,
		Timeout: s.Timeout, Priority: s.Priority, Tags: maps.Clone(s.Tags), Params: make([]inspect.ParamInfo, len(s.Params)),
	}
	for i, p := range s.Params {
		t.Params[i] = inspect.ParamInfo{
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
			return hideSecrets(reg.def, err)
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
