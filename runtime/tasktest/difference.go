package tasktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

const redacted = "[redacted]"

// differences returns the differences between the enqueued call and the wanted
// one, a line each. It returns nil if there are none.
func (w want) differences(e Enqueued) []string {
	if e.Message.Name != w.full.Name {
		return []string{fmt.Sprintf("task: want %s, got %s", w.full.Name, e.Message.Name)}
	}
	return append(w.argDifferences(e.Message), w.optionDifferences(e.Message)...)
}

func (w want) argDifferences(got *engine.Message) []string {
	wanted, gotten := arguments(w.full), arguments(got)
	var diffs []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		g, ok := gotten[name]
		delete(gotten, name)
		switch v := wanted[name]; {
		case !ok:
			diffs = append(diffs, fmt.Sprintf("%s: want %s, got none", name, shown(w.full, name, v)))
		case !sameJSON(v, g):
			diffs = append(diffs, fmt.Sprintf("%s: want %s, got %s", name, shown(w.full, name, v), shown(got, name, g)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(gotten)) {
		diffs = append(diffs, fmt.Sprintf("%s: want none, got %s", name, shown(got, name, gotten[name])))
	}
	return diffs
}

func arguments(m *engine.Message) map[string]json.RawMessage {
	args := make(map[string]json.RawMessage)
	if json.Unmarshal(m.Args, &args) != nil { // a codec encoded it
		return map[string]json.RawMessage{"arguments": m.Args}
	}
	return args
}

func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || reflect.DeepEqual(decoded(a), decoded(b))
}

func decoded(raw json.RawMessage) (v any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return string(raw)
	}
	return v
}

// shown returns the value of an argument, or redacted text.
func shown(m *engine.Message, name string, v json.RawMessage) string {
	if slices.Contains(m.Meta.Redact, name) {
		return redacted
	}
	return string(v)
}

// optionDifferences compares the options set by the wanted call.
func (w want) optionDifferences(got *engine.Message) []string {
	var diffs []string
	plain, full, found := options(w.plain), options(w.full), options(got)
	for i, o := range full {
		if o.name == "due after" && w.full.Due.Equal(got.Due) {
			continue // by WithDue, from another moment
		}
		if o.text != plain[i].text && o.text != found[i].text {
			diffs = append(diffs, fmt.Sprintf("%s: want %s, got %s", o.name, o.text, found[i].text))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.full.Meta.Tags)) {
		v := w.full.Meta.Tags[key]
		if old, ok := w.plain.Meta.Tags[key]; ok && old == v {
			continue
		}
		if g, ok := got.Meta.Tags[key]; !ok || g != v {
			diffs = append(diffs, fmt.Sprintf("tag %s: want %q, got %q", key, v, g))
		}
	}
	return diffs
}

// option is one option of a message as text.
type option struct{ name, text string }

func options(m *engine.Message) []option {
	return []option{
		{"queue", m.Queue},
		{"priority", fmt.Sprint(m.Priority)},
		{"due after", dueAfter(m).String()},
		{"retries", fmt.Sprint(m.Meta.Retries)},
		{"timeout", m.Meta.Timeout.String()},
		{"deadline", m.Meta.Deadline.String()},
		{"key", fmt.Sprintf("%q for %s", m.Key, m.KeyFor)},
		{"keep", m.Keep.String()},
	}
}

// dueAfter is the delay from the enqueue.
func dueAfter(m *engine.Message) time.Duration {
	if m.Due.IsZero() {
		return 0
	}
	return m.Due.Sub(m.Meta.EnqueuedAt)
}

// report returns the wanted call, its differences to the nearest enqueued one,
// and a list of the enqueued calls.
func (w want) report(all []Enqueued) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tasktest: %s was not enqueued as wanted\n  want: %s", w.full.Name, w)
	var near *Enqueued
	var least []string
	for i, e := range all {
		if e.Message.Name != w.full.Name {
			continue
		}
		if diffs := w.differences(e); near == nil || len(diffs) < len(least) {
			near, least = &all[i], diffs
		}
	}
	if near != nil {
		fmt.Fprintf(&b, "\n  nearest is #%d:", near.N)
		for _, d := range least {
			fmt.Fprintf(&b, "\n    %s", d)
		}
	}
	if len(all) == 0 {
		b.WriteString("\n  nothing was enqueued")
	} else {
		fmt.Fprintf(&b, "\n  %s enqueued:%s", tasks(len(all)), listing(all))
	}
	return b.String()
}

// String returns the wanted call with the options it sets.
func (w want) String() string {
	text := describe(Enqueued{Message: w.full})
	plain := options(w.plain)
	for i, o := range options(w.full) {
		if o.text != plain[i].text && o.name != "queue" {
			text += fmt.Sprintf(" %s=%s", o.name, o.text)
		}
	}
	return text
}

// listed is how many calls a listing shows at most.
const listed = 20

func listing(all []Enqueued) string {
	var b strings.Builder
	for i, e := range all {
		if i == listed {
			fmt.Fprintf(&b, "\n    and %d more", len(all)-listed)
			break
		}
		fmt.Fprintf(&b, "\n    #%d %s", e.N, describe(e))
	}
	return b.String()
}

// describe returns a call on one line.
func describe(e Enqueued) string {
	m := e.Message
	args := arguments(m)
	for name := range args {
		if slices.Contains(m.Meta.Redact, name) {
			args[name] = json.RawMessage(`"` + redacted + `"`)
		}
	}
	text, err := json.Marshal(args)
	if err != nil {
		text = []byte("?")
	}
	line := fmt.Sprintf("%s %s queue=%s", m.Name, text, m.Queue)
	for _, key := range slices.Sorted(maps.Keys(m.Meta.Tags)) {
		line += fmt.Sprintf(" tag %s=%q", key, m.Meta.Tags[key])
	}
	if d := dueAfter(m); d > 0 {
		line += fmt.Sprintf(" in %s", d)
	}
	return line
}

func tasks(n int) string {
	if n == 1 {
		return "1 task was"
	}
	return fmt.Sprintf("%d tasks were", n)
}
