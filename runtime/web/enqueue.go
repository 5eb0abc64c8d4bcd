package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// enqueueIn asks to enqueue a task by its name.
type enqueueIn struct {
	Name  string            `json:"name" doc:"name of the task"`
	Args  json.RawMessage   `json:"args,omitempty" doc:"one object, keyed by parameter name"`
	Queue string            `json:"queue,omitempty" doc:"another queue than the task's own"`
	Delay duration          `json:"delay,omitempty" doc:"how long it waits, such as 1m30s"`
	Due   *time.Time        `json:"due,omitempty" doc:"when it may first run, instead of delay"`
	Key   string            `json:"key,omitempty" doc:"while a task with this key has not ended, it is the answer"`
	Tags  map[string]string `json:"tags,omitempty" doc:"tags beside the task's own"`

	Priority *int `json:"priority,omitempty" doc:"from 0 to 3, higher first, instead of the task's own"`
}

// enqueueOut is the task that was enqueued.
type enqueueOut struct {
	ID uuid.UUID `json:"id"`
	// Existing says that a task held the key, and that this is its id.
	Existing bool `json:"existing,omitempty"`
}

// enqueue enqueues a task, and logs who did. Arguments are not logged.
func (q *request) enqueue(in *enqueueIn) (out enqueueOut, err error) {
	defer func() {
		q.h.audit(q.Request, Enqueue, err, "name", clean(in.Name, maxName), "task", out.ID.String())
	}()
	var opts []runtime.Option
	if in.Queue != "" {
		opts = append(opts, runtime.WithQueue(in.Queue))
	}
	switch {
	case in.Delay != 0 && in.Due != nil:
		return out, badRequest("there are both delay and due")
	case in.Delay != 0:
		opts = append(opts, runtime.WithDelay(time.Duration(in.Delay)))
	case in.Due != nil:
		opts = append(opts, runtime.WithDue(*in.Due))
	}
	if in.Key != "" {
		opts = append(opts, runtime.WithActiveKey(in.Key))
	}
	if in.Priority != nil {
		opts = append(opts, runtime.WithPriority(*in.Priority))
	}
	for k, v := range in.Tags {
		opts = append(opts, runtime.WithTag(k, v))
	}
	call, err := q.h.app.CallOf(in.Name, in.Args, opts...)
	if err != nil {
		if errors.Is(err, runtime.ErrUnknownTask) {
			return out, err
		}
		return out, &statusError{http.StatusUnprocessableEntity, err.Error()}
	}
	ctx, cancel := q.store()
	defer cancel()
	// The task is enqueued by an operator, and is nobody's child.
	handle, err := call.Enqueue(ctx, q.h.app)
	if err != nil {
		return out, err
	}
	q.h.stale()
	return enqueueOut{ID: handle.ID(), Existing: handle.Existing()}, nil
}

// definitionsOut are the tasks that can be enqueued by name.
type definitionsOut struct {
	Tasks []inspect.TaskInfo `json:"tasks"`
}

// enqueuePage is the form that enqueues a task.
type enqueuePage struct {
	Tasks   []choice // to choose from
	Name    string   // the chosen one, empty for none
	Func    string
	Fields  []formField
	Queue   string
	Delay   string
	Key     string
	Error   string
	Unknown bool

	Priority string
	Tags     string // a line each, "key: value"
	Like     string // the id of the task that it is a copy of, empty for none
	LikeText string
	LikeLink string
	TagsLeft bool   // that task has tags that no line can hold
	Decode   string // relative URL of the form with its arguments decoded, if they are not
}

// choice is a task to choose, with its parameters and its queue.
type choice struct{ Label, Link, Note string }

func choiceOf(t *inspect.TaskInfo) choice {
	params := "takes nothing"
	for i, p := range t.Params {
		if i == 0 {
			params = p.Name
		} else {
			params += ", " + p.Name
		}
	}
	return choice{
		Label: clean(t.Name, maxName), Link: "enqueue?" + urlQuery("name", t.Name),
		Note: clean(params, 100) + " · queue " + clean(t.Queue, 60),
	}
}

// formField is a parameter in the form.
type formField struct {
	Name, Label, Type string
	Kind              string // of the input: text, number, bool, time, json
	Value             string
	Example           string
	Optional, Secret  bool
	Asked             bool // the task that is copied has a value, which nobody sees
	Step              string
	Rows              int
}

// param is how the fields of parameters are named in the form: the others have
// names of their own.
const param = "p."

// enqueuePage shows the form, empty or with what an earlier task has.
func (q *request) enqueuePage() (*view, error) {
	in := new(struct {
		Name string `query:"name"`
		Like string `query:"like"`
		Args string `query:"args"`
	})
	if err := q.decode(in); err != nil {
		return nil, err
	}
	p, info := q.form(in.Name)
	if info != nil {
		args := info.Example
		if id, err := uuid.Parse(in.Like); err == nil {
			if args, err = q.copyOf(p, info, id, in.Args == "decoded"); err != nil {
				return nil, err
			}
		}
		p.fill(info, args)
	}
	return &view{Title: "Enqueue", Nav: "enqueue", Template: "enqueue", Data: p}, nil
}

// form returns the form for the task of a name, and the task, nil if there is
// none.
func (q *request) form(name string) (*enqueuePage, *inspect.TaskInfo) {
	p := &enqueuePage{}
	var info *inspect.TaskInfo
	for _, t := range q.h.app.Tasks() {
		p.Tasks = append(p.Tasks, choiceOf(&t))
		if t.Name == name || info == nil && slices.Contains(t.Aliases, name) {
			info = &t
		}
	}
	p.Unknown = name != "" && info == nil
	if info != nil {
		p.Name, p.Func, p.Queue = info.Name, clean(info.Func, maxName), info.Queue
	}
	return p, info
}

// fill makes the fields, with the values of args.
func (p *enqueuePage) fill(t *inspect.TaskInfo, args json.RawMessage) {
	var values, examples map[string]json.RawMessage
	_ = json.Unmarshal(args, &values) // what cannot be read is empty
	_ = json.Unmarshal(t.Example, &examples)
	for _, param := range t.Params {
		f := fieldOf(param)
		value, example := values[param.Name], examples[param.Name]
		f.Asked = p.Like != "" && f.Secret && value != nil
		if param.Inline {
			value, example = without(args, values, param.Secret), without(t.Example, examples, param.Secret)
		}
		if !f.Secret {
			f.Value = f.show(value)
		}
		if f.Kind == "json" {
			f.Example = indented(example)
			f.Rows = min(max(strings.Count(f.Value, "\n")+1, 3), 16)
		}
		p.Fields = append(p.Fields, f)
		for _, key := range param.Secret {
			f := secretOf(key, examples[key])
			f.Asked = p.Like != "" && values[key] != nil
			p.Fields = append(p.Fields, f)
		}
	}
}

// fieldOf chooses the input for a parameter by its type's fingerprint.
func fieldOf(p inspect.ParamInfo) formField {
	f := formField{Name: param + p.Name, Label: p.Name, Type: p.Type, Kind: "json", Optional: p.Optional, Secret: p.Redact}
	switch t := strings.TrimPrefix(p.Type, "*"); t {
	case "string":
		f.Kind = "text"
	case "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64":
		f.Kind, f.Step = "number", "1"
	case "float32", "float64":
		f.Kind, f.Step = "number", "any"
	case "bool":
		f.Kind = "bool"
	case "time.Time":
		f.Kind, f.Example = "time", "2006-01-02T15:04:05Z"
	}
	if strings.HasPrefix(p.Type, "*") && f.Kind == "bool" || f.Secret && f.Kind == "bool" {
		f.Kind = "json"
	}
	if i := strings.LastIndexByte(f.Type, ':'); i > 0 { // the hash says nothing to people
		f.Type = f.Type[:i]
	}
	f.Type = clean(f.Type, 60)
	return f
}

// show is the value of an argument in the field.
func (f *formField) show(v json.RawMessage) string {
	if len(v) == 0 || string(v) == "null" {
		return ""
	}
	switch f.Kind {
	case "text", "time":
		var s string
		if json.Unmarshal(v, &s) == nil {
			return s
		}
	case "json":
		return indented(v)
	}
	return string(v)
}

func indented(v json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, v, "", "  ") != nil {
		return string(v)
	}
	return b.String()
}

// enqueueForm enqueues the task of a form and shows it. A mistake in the form shows the
// form again, with an error.
func (q *request) enqueueForm() (*view, error) {
	p, info := q.form(q.PostForm.Get("name"))
	if info == nil {
		return nil, notFound("there is no task %q here", clean(q.PostForm.Get("name"), maxName))
	}
	in, err := formOptions(info, q.PostForm)
	args, wrong := formArgs(info, q.PostForm)
	if err == nil {
		err = wrong
	}
	if err == nil {
		in.Args = args
		var out any
		out, err = q.run(Enqueue, func() (any, error) { return q.enqueue(in) })
		if err == nil {
			redirect(q.w, q.root+"tasks/"+out.(enqueueOut).ID.String()+"?did=enqueue")
			return nil, nil
		}
	}
	if no := new(refused); errors.As(err, &no) || statusOf(err) == http.StatusServiceUnavailable && in.Args != nil {
		return nil, err
	}
	p.liken(q.PostForm.Get("like"))
	p.fill(info, nil)
	for i := range p.Fields {
		if f := &p.Fields[i]; !f.Secret {
			f.Value = q.PostForm.Get(f.Name)
			f.Rows = min(max(strings.Count(f.Value, "\n")+1, f.Rows), 16)
		}
	}
	p.Priority, p.Tags = q.PostForm.Get("priority"), q.PostForm.Get("tags")
	p.Queue, p.Delay, p.Key, p.Error = q.PostForm.Get("queue"), q.PostForm.Get("delay"), in.Key, cleanLines(err.Error())
	return &view{Title: "Enqueue", Nav: "enqueue", Template: "enqueue", Data: p, Status: http.StatusUnprocessableEntity}, nil
}

// formOptions are how a form says that its task is enqueued.
func formOptions(t *inspect.TaskInfo, form url.Values) (*enqueueIn, error) {
	in := &enqueueIn{Name: t.Name, Key: form.Get("key")}
	if queue := form.Get("queue"); queue != t.Queue {
		in.Queue = queue
	}
	if text := form.Get("delay"); text != "" {
		if err := in.Delay.UnmarshalText([]byte(text)); err != nil {
			return in, err
		}
	}
	if text := strings.TrimSpace(form.Get("priority")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return in, badRequest("the priority is %q, want a number from 0 to 3", clean(text, maxName))
		}
		in.Priority = &n
	}
	var err error
	in.Tags, err = parseTags(form.Get("tags"))
	return in, err
}

// formArgs makes the arguments of what a form's fields say. An optional
// parameter that is empty is left out.
func formArgs(t *inspect.TaskInfo, form url.Values) (json.RawMessage, error) {
	args := make(map[string]json.RawMessage, len(t.Params))
	for _, p := range t.Params {
		f := fieldOf(p)
		text := form.Get(f.Name)
		if text == "" && p.Optional {
			continue
		}
		if text == "" && f.Secret && form.Get("like") != "" {
			return nil, &statusError{
				http.StatusUnprocessableEntity, `parameter "` + clean(p.Name, maxName) + `" is redacted: type what the copy is to have`,
			}
		}
		v, err := f.parse(text, strings.HasPrefix(p.Type, "*"))
		if err != nil {
			return nil, err
		}
		if p.Inline {
			return withSecrets(v, t, p.Secret, form)
		}
		args[p.Name] = v
	}
	return json.Marshal(args)
}

// parse returns the value of a field as JSON. Its error shows no value.
func (f *formField) parse(text string, pointer bool) (json.RawMessage, error) {
	if text == "" && pointer {
		return json.RawMessage("null"), nil
	}
	switch f.Kind {
	case "text", "time":
		return json.Marshal(strings.ReplaceAll(text, "\r\n", "\n"))
	case "bool":
		return strconv.AppendBool(nil, text != ""), nil
	}
	if text = strings.TrimSpace(text); text == "" && f.Kind == "json" {
		text = "null"
	}
	if !json.Valid([]byte(text)) {
		return nil, &statusError{http.StatusUnprocessableEntity, `parameter "` + clean(f.Label, maxName) + `" is not valid ` + f.Kind}
	}
	return json.RawMessage(text), nil
}
