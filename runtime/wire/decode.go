package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/runtime/internal/jsontext"
)

// Unmarshal reads the payload into the arguments that args lists, which must
// be zero. params are their parameters. An empty payload is the same as an
// empty object.
func Unmarshal(payload json.RawMessage, args func(*Fields), params []Param) error {
	return unmarshal(payload, args, params, false)
}

// UnmarshalForeign is Unmarshal for the payload of a producer that knows nothing
// of this package, as one that writes tasks of asynq or jobs of River: it may
// have keys, also of structs, that nothing here has, and they are passed over.
func UnmarshalForeign(payload json.RawMessage, args func(*Fields), params []Param) error {
	return unmarshal(payload, args, params, true)
}

func unmarshal(payload json.RawMessage, args func(*Fields), params []Param, foreign bool) error {
	f := fieldsPool.Get().(*Fields)
	defer f.release()
	f.startDecode(payload, params)
	if foreign && f.err == nil {
		f.check.lenient = true
		if !inline(params) {
			f.index() // finds the parameters among other keys
		}
	}
	if args != nil && f.err == nil {
		args(f)
	}
	f.endDecode()
	return f.result()
}

func (f *Fields) startDecode(payload []byte, params []Param) {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	f.decoding = true
	f.params = params
	f.check.reset(payload)
	f.data = payload
	f.pos = jsontext.SkipSpace(payload, 0)
	if f.pos == len(payload) || payload[f.pos] != '{' {
		f.err = errors.New("arguments are not a JSON object")
		return
	}
	f.pos++
}

// find moves to the value of the parameter and reports whether there is one.
// While keys come in the order of the calls, the payload is read in one pass;
// otherwise it is indexed first.
func (f *Fields) find(name string) bool {
	if f.err != nil {
		return false
	}
	if name == resultName {
		return true
	}
	if !f.indexed {
		if f.next(name) {
			return true
		}
		if !f.index() {
			return false
		}
	}
	i := paramIndex(f, name)
	if i < 0 {
		f.fail(name, "is not declared")
		return false
	}
	if f.spans[i].End > 0 {
		f.pos = f.spans[i].Start
		return true
	}
	if !f.params[i].Optional {
		f.fail(name, "is missing")
	}
	return false
}

// next reports whether the next member is the parameter's, and moves to its
// value.
func (f *Fields) next(name string) bool {
	data, i := f.data, jsontext.SkipSpace(f.data, f.pos)
	if f.count > 0 {
		if i >= len(data) || data[i] != ',' {
			return false
		}
		i = jsontext.SkipSpace(data, i+1)
	}
	end := i + 1 + len(name)
	if end >= len(data) || data[i] != '"' || data[end] != '"' || string(data[i+1:end]) != name {
		return false
	}
	if i = jsontext.SkipSpace(data, end+1); i >= len(data) || data[i] != ':' {
		return false
	}
	f.pos = jsontext.SkipSpace(data, i+1)
	f.count++
	return true
}

// paramIndex returns the index of the parameter in params, or -1. It expects
// calls in the order of params.
func paramIndex[S string | []byte](f *Fields, name S) int {
	i := f.hint
	for range f.params {
		if i >= len(f.params) {
			i = 0
		}
		if f.params[i].Name == string(name) {
			f.hint = i + 1
			return i
		}
		i++
	}
	return -1
}

// keyIndex is paramIndex for a key of the payload.
func (f *Fields) keyIndex(key jsontext.Span) int {
	if key.Escaped {
		return paramIndex(f, f.check.Unquote(key))
	}
	return paramIndex(f, f.data[key.Start+1:key.End-1])
}

// index checks the whole payload and notes the position of each parameter's
// value.
func (f *Fields) index() bool {
	f.indexed = true
	f.spans = f.spans[:0]
	for range f.params {
		f.spans = append(f.spans, jsontext.Span{})
	}
	i := jsontext.SkipSpace(f.data, 0) + 1
	if i = jsontext.SkipSpace(f.data, i); i < len(f.data) && f.data[i] == '}' {
		return f.endIndex(i)
	}
	for {
		key, bad := f.check.String(jsontext.SkipSpace(f.data, i))
		if bad != "" {
			return f.invalid(bad)
		}
		if i = jsontext.SkipSpace(f.data, key.End); i >= len(f.data) || f.data[i] != ':' {
			return f.invalid(jsontext.BadSyntax)
		}
		value := jsontext.Span{Start: jsontext.SkipSpace(f.data, i+1)}
		if value.End, bad = f.check.value(value.Start, nil); bad != "" {
			f.fail(shorten(f.check.Unquote(key)), bad)
			return false
		}
		n := f.keyIndex(key)
		switch {
		case n < 0 && f.check.lenient && !f.resembles(f.check.Unquote(key)):
		case n < 0:
			f.err = fmt.Errorf("unknown parameter %q", shorten(f.check.Unquote(key)))
			return false
		case f.spans[n].End > 0:
			f.fail(f.params[n].Name, "is there twice")
			return false
		}
		if n >= 0 {
			f.spans[n] = value
		}
		if i = jsontext.SkipSpace(f.data, value.End); i >= len(f.data) {
			return f.invalid(jsontext.BadSyntax)
		}
		switch f.data[i] {
		case ',':
			i++
		case '}':
			return f.endIndex(i)
		default:
			return f.invalid(jsontext.BadSyntax)
		}
	}
}

// resembles reports whether a key differs from that of a parameter only in case.
func (f *Fields) resembles(key string) bool {
	return slices.ContainsFunc(f.params, func(p Param) bool { return strings.EqualFold(p.Name, key) })
}

// endIndex ends the index at the closing brace.
func (f *Fields) endIndex(i int) bool {
	f.hint = 0
	if jsontext.SkipSpace(f.data, i+1) != len(f.data) {
		return f.invalid("are followed by more data")
	}
	return true
}

// invalid fails for a reason that concerns no single parameter.
func (f *Fields) invalid(bad string) bool {
	if bad == jsontext.BadSyntax {
		bad = "are not valid JSON"
	}
	f.err = fmt.Errorf("arguments %s", bad)
	return false
}

// shorten shortens the name of a foreign key, which might fill the error.
func shorten(name string) string {
	if len(name) > 64 {
		return name[:64] + "..."
	}
	return name
}

// endDecode checks that nothing is left.
func (f *Fields) endDecode() {
	if f.err != nil || f.indexed {
		return
	}
	i := jsontext.SkipSpace(f.data, f.pos)
	if i < len(f.data) && f.data[i] == '}' && jsontext.SkipSpace(f.data, i+1) == len(f.data) {
		return
	}
	if f.index() && f.err == nil { // says what is wrong
		f.invalid(jsontext.BadSyntax)
	}
}
