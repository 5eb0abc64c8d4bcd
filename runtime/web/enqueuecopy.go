package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// redactedMark stands in records in place of what is not to be shown.
const redactedMark = "[redacted]"

// copyOf fills the form with the queue, the priority and the tags of a task, and returns
// its arguments: those of an example if the task is gone or is another, none while they
// are encoded.
func (q *request) copyOf(p *enqueuePage, info *inspect.TaskInfo, id uuid.UUID, decoded bool) (json.RawMessage, error) {
	r, err := q.lookup(&taskIn{ID: id})
	gone := err != nil && statusOf(err) == http.StatusNotFound
	if err != nil && !gone {
		return nil, err
	}
	if gone || r.Name != info.Name && !slices.Contains(info.Aliases, r.Name) {
		return info.Example, nil
	}
	p.liken(id.String())
	p.Queue, p.Priority = r.Queue, strconv.Itoa(r.Priority)
	p.Tags, p.TagsLeft = formTags(r.Tags)
	if !q.h.app.HasCodec() {
		return r.Args, nil
	}
	if !decoded {
		p.Decode = "enqueue?" + urlQuery("name", info.Name, "like", id.String(), "args", "decoded")
		return nil, nil
	}
	out, err := q.run(Decode, func() (any, error) { return q.decodedArgs(&taskIn{ID: id}) })
	if err != nil {
		return nil, err
	}
	return out.(argsOut).Args, nil
}

// liken makes the form that of a copy, if text is an id.
func (p *enqueuePage) liken(text string) {
	if id, err := uuid.Parse(text); err == nil {
		p.Like, p.LikeText, p.LikeLink = id.String(), id.String()[28:], "tasks/"+id.String()
	}
}

// formTags are tags as lines of the form. What a schedule has put there is not of the
// task. left says that some have no line: parseTags would read others.
func formTags(tags inspect.Tags) (lines string, left bool) {
	var b strings.Builder
	for k, v := range tags.All() {
		if k == runtime.TagEvery || k == runtime.TagTick {
			continue
		}
		line := k + ": " + v
		back, err := parseTags(line)
		if err != nil && !strings.Contains(line, redactedMark) || err == nil && !maps.Equal(back, map[string]string{k: v}) {
			left = true
			continue
		}
		b.WriteString(line + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n"), left
}

// parseTags reads lines of tags.
func parseTags(text string) (map[string]string, error) {
	var tags map[string]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		k, v, found := strings.Cut(line, ":")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		switch {
		case !found || k == "":
			return nil, badRequest("the tag %q is not like KEY: VALUE", clean(line, maxName))
		case strings.Contains(line, redactedMark):
			return nil, badRequest("the tag %q is redacted: type what it is to be, or remove the line", clean(k, maxName))
		}
		if tags == nil {
			tags = make(map[string]string)
		}
		tags[k] = v
	}
	return tags, nil
}

// secretParam is how the fields of an object's redacted keys are named in the form.
const secretParam = "s."

// secretOf is the field of a redacted key: a text, if the example has one.
func secretOf(key string, example json.RawMessage) formField {
	f := formField{Name: secretParam + key, Label: key, Kind: "json", Type: "JSON", Optional: true, Secret: true}
	if strings.HasPrefix(string(example), `"`) {
		f.Kind, f.Type = "text", "string"
	}
	return f
}

// without returns an object without keys, or raw if it has none of them.
func without(raw json.RawMessage, fields map[string]json.RawMessage, keys []string) json.RawMessage {
	rest := maps.Clone(fields)
	maps.DeleteFunc(rest, func(k string, _ json.RawMessage) bool { return slices.Contains(keys, k) })
	if len(rest) == len(fields) {
		return raw
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return raw
	}
	return text
}

// withSecrets adds what the form has for redacted keys to an object.
func withSecrets(object json.RawMessage, t *inspect.TaskInfo, keys []string, form url.Values) (json.RawMessage, error) {
	var fields, examples map[string]json.RawMessage
	_ = json.Unmarshal(t.Example, &examples) // without one each is JSON
	changed := false
	for _, key := range keys {
		f := secretOf(key, examples[key])
		text := form.Get(f.Name)
		if text == "" {
			continue
		}
		v, err := f.parse(text, false)
		if err != nil {
			return nil, err
		}
		if !changed && json.Unmarshal(object, &fields) != nil || fields == nil {
			return object, nil //nolint:nilerr // the task's own check says why that is nothing
		}
		fields[key], changed = v, true
	}
	if !changed {
		return object, nil
	}
	return json.Marshal(fields)
}
