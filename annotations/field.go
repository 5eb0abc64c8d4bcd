package annotations

import (
	"fmt"
	"go/token"
	"reflect"
	"strings"
)

// Field is the content of the struct tag `task:"..."` of a context type's
// field.
type Field struct {
	// Skip leaves the field alone: task:"-".
	Skip bool
	// Supply takes the value from the app's supplies: task:"supply".
	Supply bool
	// By names the provider: task:"by=openReplica", a method with its type:
	// task:"by=Config.OpenReplica".
	By string
}

// ParseField reads the task tag from the text of a struct tag, without its
// quotes. It returns a message and a hint if the tag is wrong.
func ParseField(tag string) (f Field, msg, hint string) {
	v, ok := reflect.StructTag(tag).Lookup(Tool)
	if !ok {
		if malformed(tag) {
			return f, "the struct tag is malformed, so that task: in it is not read", "write `task:\"supply\"`"
		}
		return f, "", ""
	}
	const forms = "it is task:\"supply\", task:\"by=provider\" or task:\"-\""
	key, by, isBy := strings.Cut(v, "=")
	switch {
	case v == "-":
		f.Skip = true
	case v == "supply":
		f.Supply = true
	case isBy && key == "by":
		if typ, method, ok := strings.Cut(by, "."); !token.IsIdentifier(typ) || ok && !token.IsIdentifier(method) {
			return f, fmt.Sprintf("%q is no name of a provider", by), "write task:\"by=openReplica\""
		}
		f.By = by
	default:
		hint = forms
		if near := Nearest(key, []string{"supply", "by"}); near != "" {
			hint = "did you mean " + near + "? " + forms
		}
		return f, fmt.Sprintf("the struct tag task:%q says nothing known", v), hint
	}
	return f, "", ""
}

// malformed reports whether a tag without a key task: mentions it in a wrong
// form.
func malformed(tag string) bool {
	for rest := tag; ; {
		i := strings.Index(rest, Tool+":")
		if i < 0 {
			return false
		}
		before := rest[:i]
		if strings.Count(before, `"`)%2 == 0 && (before == "" || strings.HasSuffix(before, " ") || strings.HasSuffix(before, `"`)) {
			return true
		}
		rest = rest[i+len(Tool)+1:]
	}
}
