package gen

import (
	"slices"
	"strings"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/gen/wiretype"
)

// inlineKey stands, in signatures and in lock files, for the name of a parameter that
// is all of the arguments. No parameter can have it.
const inlineKey = "*"

// inlines makes the parameter that inline= names all of the arguments.
func (b *builder) inlines(t *Task) {
	a := t.directive.Arg("inline")
	if a == nil {
		return
	}
	b.markItem(t, annotations.Item{Name: a.Value, Pos: a.Pos, End: a.End}, func(p *Param) {
		shape := wiretype.ShapeOf(p.Type)
		switch {
		case p.Sig == "": // reported
		case len(t.Params) > 1:
			b.report(a.Pos, a.End, "inline-alone", "make the others fields of "+b.typeName(p.Type)+", or leave inline= out",
				"%s has %d parameters, and with inline= the fields of %s are all that its arguments have", t.Func, len(t.Params), p.Name)
		case shape.Form != wiretype.FormStruct || shape.Null:
			b.report(a.Pos, a.End, "inline-type", "make it a struct, or leave inline= out: its key is then "+p.Name,
				"the parameter %s is a %s, which is not written as an object with fields", p.Name, b.typeName(p.Type))
		default:
			p.Inline, p.Key = true, inlineKey
			for _, f := range shape.Fields {
				p.fields = append(p.fields, f.Key)
			}
		}
	})
}

// withoutInline reports a key of the directive that needs a parameter with a key of
// its own.
func (b *builder) withoutInline(t *Task, a *annotations.Arg) {
	if t.inlined() == nil {
		return
	}
	b.report(a.Pos, a.End, "inline-key", "leave it out, or leave inline= out",
		"%s= is about a parameter with a key of its own, and inline= leaves %s none", a.Name, t.inlined().Name)
}

// inlined returns the parameter that is all of the arguments, or nil.
func (t *Task) inlined() *Param {
	if len(t.Params) == 1 && t.Params[0].Inline {
		return t.Params[0]
	}
	return nil
}

// redact marks the parameters, or the fields of an inline one by their keys, that
// are never shown.
func (b *builder) redact(t *Task, a *annotations.Arg) {
	p := t.inlined()
	for _, item := range a.Items() {
		switch {
		case p == nil || item.Name == p.Name:
			b.markItem(t, item, func(p *Param) {
				p.Redact = true
				p.Secret = p.fields
			})
		case slices.Contains(p.fields, item.Name):
			if !slices.Contains(p.Secret, item.Name) {
				p.Secret = append(p.Secret, item.Name)
			}
		default:
			fix := "its keys are " + strings.Join(p.fields, ", ")
			if near := annotations.Nearest(item.Name, p.fields); near != "" {
				fix = "did you mean " + near + "?"
			}
			b.report(item.Pos, item.End, "unknown-parameter", fix, "%s has no parameter and no key %s", t.Func, item.Name)
		}
	}
}
