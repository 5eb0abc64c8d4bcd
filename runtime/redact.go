package runtime

import (
	"encoding/json"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/redact"
	"github.com/taskctx/taskctx/runtime/wire"
)

// redactor returns the run's redactor, made when first needed.
func (r *run) redactor() *redact.Redactor {
	if len(r.msg.Meta.Redact) == 0 && len(r.reg.def.Derive().Redact) == 0 {
		return nil
	}
	x := r.whole().more()
	x.redactOnce.Do(func() { x.redactWith = r.app.redactorOf(r.msg, r.reg.def.Derive()) })
	return x.redactWith
}

// redactorOf returns the redactor of a message, nil if it has nothing to
// redact. s is the task as registered here, or nil.
func (a *App) redactorOf(m *engine.Message, s *wire.Derived) *redact.Redactor {
	names, signature := m.Meta.Redact, m.Meta.Signature
	if s != nil {
		names = slices.Concat(names, s.Redact)
		if signature == "" { // of a foreign producer
			signature = s.Signature
		}
	}
	if len(names) == 0 {
		return nil
	}
	if len(m.Args) > a.cfg.MaxPayload {
		return &redact.Redactor{All: true}
	}
	args := m.Args
	if a.cfg.Codec != nil { // the user's
		err := guard.Isolated(func() (err error) {
			args, err = a.decodeArgs(m)
			return err
		})
		if err != nil {
			return &redact.Redactor{All: true}
		}
	}
	return redact.New(args, signature, names)
}

// Redact returns text without the values of the task's redacted parameters:
// for text of a task's error that goes to a place which taskctx does not know.
// Outside a task it returns text as it is. [wire.Param] lists the forms it
// looks for.
func (c *Context) Redact(text string) string {
	r := c.runOrNil()
	if r == nil {
		return text
	}
	return r.redactor().Clean(text)
}

// Redact returns text without the values of the call's redacted parameters, as
// [Context.Redact] does.
func (c AnyCall) Redact(text string) string {
	if c.def == nil || len(c.def.Derive().Redact) == 0 {
		return text
	}
	return redact.New(c.Args(), c.def.Derive().Signature, c.def.Derive().Redact).Clean(text)
}

// redactedArgs returns the arguments with redacted values replaced, for the
// parameters that the message names, and more.
func redactedArgs(m *engine.Message, more []string) json.RawMessage {
	names := slices.Concat(m.Meta.Redact, more)
	if len(names) == 0 {
		return m.Args
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(m.Args, &fields) != nil {
		return nil // unreadable: show nothing
	}
	for _, name := range names {
		if _, ok := fields[name]; ok {
			fields[name] = json.RawMessage(`"` + redact.Mark + `"`)
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return b
}
