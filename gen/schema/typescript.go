package schema

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/taskctx/taskctx/gen/wiretype"
)

// typeScript writes a client in TypeScript.
type typeScript struct {
	defs  *defs
	types strings.Builder // the declarations of named types
}

// tsTaken are the names of the client's own declarations, and of the language's
// that it uses.
var tsTaken = []string{
	"Bytes", "Client", "ClientOptions", "Duration", "EnqueueOptions", "Enqueued", "Free", "TaskError", "Time", "UUID",
	"encode", "Date", "Error", "Number", "Object", "Array", "Promise", "Record", "String", "Uint8Array", "JSON", "Response",
	"RequestInit", "base64",
}

// tsName makes an identifier of a Go type's name: "shop.Order" gives Order, and
// "shop.List[shop.Order]" ListOrder.
func tsName(goName string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(goName, func(r rune) bool { return strings.ContainsRune("[],* ", r) }) {
		word = word[strings.LastIndexByte(word, '.')+1:]
		b.WriteString(upperFirst(tsIdent(word)))
	}
	if b.Len() == 0 {
		return "Struct"
	}
	return b.String()
}

// tsIdent leaves out what no identifier has.
func tsIdent(name string) string {
	id := strings.Map(func(r rune) rune {
		if r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, name)
	if id == "" || unicode.IsDigit(rune(id[0])) {
		id = "_" + id
	}
	return id
}

// of returns the type of a shape's values.
func (ts *typeScript) of(s *wiretype.Shape) string {
	t := ts.plain(s)
	if s.Type != nil && !s.Quoted {
		name, first := ts.defs.name(s, tsName)
		if t = name; first {
			ts.declare(name, s)
		}
	}
	if s.Null {
		t += " | null"
	}
	return t
}

// plain returns the type of a shape without a name, and without null.
func (ts *typeScript) plain(s *wiretype.Shape) string {
	switch {
	case s.Quoted:
		return "string"
	case s.Type != nil:
		return ""
	}
	return ts.unnamed(s)
}

func (ts *typeScript) unnamed(s *wiretype.Shape) string {
	switch s.Form {
	case wiretype.FormBool:
		return "boolean"
	case wiretype.FormString, wiretype.FormText:
		return "string"
	case wiretype.FormInteger:
		if s.Bits > 32 {
			return "bigint"
		}
		return "number"
	case wiretype.FormBig:
		return "bigint"
	case wiretype.FormFloat:
		return "number"
	case wiretype.FormBytes:
		return "Bytes"
	case wiretype.FormTime:
		return "Time"
	case wiretype.FormNanos:
		return "Duration"
	case wiretype.FormUUID:
		return "UUID"
	case wiretype.FormList:
		elem := ts.of(s.Elem)
		if strings.Contains(elem, " ") {
			elem = "(" + elem + ")"
		}
		return elem + "[]"
	case wiretype.FormMap:
		return "Record<string, " + ts.of(s.Elem) + ">"
	}
	return "Free"
}

// declare writes the declaration of a named type.
func (ts *typeScript) declare(name string, s *wiretype.Shape) {
	var b strings.Builder
	if s.Form != wiretype.FormStruct {
		fmt.Fprintf(&b, "\nexport type %s = %s;\n", name, ts.unnamed(s))
	} else {
		fmt.Fprintf(&b, "\nexport interface %s {\n", name)
		for _, f := range s.Fields {
			ts.member(&b, "  ", f.Key, f.Optional, f.Shape, "")
		}
		b.WriteString("}\n")
	}
	ts.types.WriteString(b.String())
}

func (ts *typeScript) member(b *strings.Builder, indent, key string, optional bool, s *wiretype.Shape, about string) {
	if about != "" {
		fmt.Fprintf(b, "%s/** %s */\n", indent, about)
	}
	mark := ""
	if optional {
		mark = "?"
	}
	text, _ := json.Marshal(key) // a string: it cannot fail
	fmt.Fprintf(b, "%s%s%s: %s;\n", indent, text, mark, ts.of(s))
}

// comment writes a comment before a declaration. Nothing of it ends the comment.
func tsComment(b *strings.Builder, indent, text string) {
	fmt.Fprintf(b, "%s/**\n", indent)
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "*/", "* /"), "\n") {
		fmt.Fprintln(b, strings.TrimRight(indent+" * "+strings.TrimSpace(line), " "))
	}
	fmt.Fprintf(b, "%s */\n", indent)
}

func writeTypeScript(w io.Writer, tasks []task) error {
	ts := &typeScript{defs: newDefs(tsTaken...)}
	var args, methods strings.Builder
	taken := map[string]bool{"enqueue": true, "constructor": true}
	for _, t := range tasks {
		id := unique(tsMethod(t.Name), taken)
		argsName := unique(upperFirst(id)+"Args", ts.defs.taken)
		ts.arguments(&args, argsName, &t)
		ts.method(&methods, id, argsName, &t)
	}
	_, err := io.WriteString(w, tsHead+ts.types.String()+args.String()+tsClient+methods.String()+"}\n")
	return err
}

// tsMethod makes a method's name of a task's: "shop.Order" gives shopOrder.
func tsMethod(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		b.WriteString(upperFirst(word))
	}
	return lowerFirst(tsIdent(b.String()))
}

func (ts *typeScript) arguments(b *strings.Builder, name string, t *task) {
	if len(t.params) == 1 && t.params[0].Inline {
		fmt.Fprintf(b, "\n/** The arguments of %s. */\nexport type %s = %s;\n", tsText(t.Name), name, ts.of(t.params[0].shape))
		return
	}
	fmt.Fprintf(b, "\n/** The arguments of %s. */\nexport interface %s {\n", tsText(t.Name), name)
	for _, p := range t.params {
		about := ""
		if p.Redact {
			about = "Redacted: never shown in a log, an error or a record."
		}
		ts.member(b, "  ", p.Key, p.Optional, p.shape, about)
	}
	b.WriteString("}\n")
}

// tsText is a name as it may stand in a comment.
func tsText(name string) string { return strings.ReplaceAll(name, "*/", "* /") }

func (ts *typeScript) method(b *strings.Builder, id, args string, t *task) {
	about := t.about()
	if about == "" {
		about = "Enqueues " + t.Name + "."
	}
	if t.result != nil {
		about += "\n\nIts result is a " + ts.of(t.result) + "."
	}
	b.WriteString("\n")
	tsComment(b, "  ", about)
	name, _ := json.Marshal(t.Name) // a string: it cannot fail
	in := "args: " + args
	if !slices.ContainsFunc(t.params, func(p param) bool { return !p.Optional }) {
		in += " = {}"
	}
	fmt.Fprintf(b, "  %s(%s, options: EnqueueOptions = {}): Promise<Enqueued> {\n", id, in)
	fmt.Fprintf(b, "    return this.enqueue(%s, args, options);\n  }\n", name)
}

// upperFirst returns the name with its first letter in upper case, lowerFirst
// with it in lower case.
func upperFirst(name string) string { return withFirst(name, unicode.ToUpper) }

func lowerFirst(name string) string { return withFirst(name, unicode.ToLower) }

func withFirst(name string, change func(rune) rune) string {
	r := []rune(name)
	if len(r) > 0 {
		r[0] = change(r[0])
	}
	return string(r)
}

// unique returns the name, or one like it, that is not taken.
func unique(name string, taken map[string]bool) string {
	free := name
	for i := 2; taken[free]; i++ {
		free = fmt.Sprint(name, i)
	}
	taken[free] = true
	return free
}
