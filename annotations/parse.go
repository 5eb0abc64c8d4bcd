package annotations

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"unicode"
)

// Parse reads the directives of a file that was parsed with its comments. It
// returns those that follow the grammar, in the order of the source, and every
// mistake.
func Parse(f *ast.File) ([]*Directive, []*Error) {
	p := &parser{file: f}
	for _, g := range f.Comments {
		for _, c := range g.List {
			p.comment(g, c)
		}
	}
	p.checkPairs()
	return p.found, p.errs
}

type parser struct {
	file  *ast.File
	sites map[*ast.CommentGroup]site
	found []*Directive
	errs  []*Error
}

func (p *parser) errorf(pos, end token.Pos, code, hint, format string, args ...any) {
	_ = p.addf(pos, end, code, hint, format, args...)
}

// addf is errorf for an error of which more is to be said.
func (p *parser) addf(pos, end token.Pos, code, hint, format string, args ...any) *Error {
	e := &Error{Pos: pos, End: end, Code: code, Msg: fmt.Sprintf(format, args...), Hint: hint}
	p.errs = append(p.errs, e)
	return e
}

// comment reads one comment.
func (p *parser) comment(g *ast.CommentGroup, c *ast.Comment) {
	if p.unseen(c) {
		return
	}
	d, ok := ast.ParseDirective(c.Slash, c.Text)
	if !ok || d.Tool != Tool {
		if meant := nearMiss(c.Text); meant != "" {
			e := p.addf(c.Pos(), c.End(), "near-miss", "write "+meant,
				"this comment is no directive, and looks meant as one")
			if !strings.HasSuffix(meant, orNothing) {
				e.Instead = meant
			}
		}
		return
	}
	defs := lookup(d.Name)
	if defs == nil {
		hint, instead := "the directives are //task:"+strings.Join(verbs(), ", //task:"), ""
		if near := Nearest(d.Name, verbs()); near != "" {
			instead = "//task:" + near
			hint = "did you mean " + instead + "?"
		}
		p.addf(c.Pos(), c.Pos()+token.Pos(len("//task:")+len(d.Name)), "unknown-directive", hint,
			"there is no directive //task:%s", d.Name).Instead = instead
		return
	}
	s := p.site(g)
	def := p.place(d, c, s, defs)
	if def == nil {
		return
	}
	dir := &Directive{Definition: def, Slash: c.Slash, End: c.End(), Func: s.fun, Type: s.typ}
	if p.arguments(dir, d) {
		p.found = append(p.found, dir)
	}
}

// place returns the definition for the declaration under the directive, or
// reports that there is none.
func (p *parser) place(d ast.Directive, c *ast.Comment, s site, defs []*Definition) *Definition {
	var wants []string
	for _, def := range defs {
		if def.On == s.target {
			return def
		}
		wants = append(wants, string(def.On))
	}
	want := strings.Join(wants, " or ")
	if s.what == "" {
		hint := "put it right above " + want + ", with no empty line between"
		p.errorf(c.Pos(), c.End(), "dangling", hint, "//task:%s stands on nothing%s", d.Name, p.next(c))
		return nil
	}
	p.errorf(c.Pos(), c.End(), "wrong-target", "it belongs on "+want, "//task:%s stands on %s", d.Name, s.what)
	return nil
}

// next names the declaration that follows a dangling comment.
func (p *parser) next(c *ast.Comment) string {
	for _, decl := range p.file.Decls {
		if decl.Pos() <= c.Pos() && c.Pos() < decl.End() {
			return ""
		}
		if decl.Pos() < c.Pos() {
			continue
		}
		if f, ok := decl.(*ast.FuncDecl); ok {
			if f.Pos() == c.End()+1 {
				return "; it is on the line of the code before it" // so not above f
			}
			return fmt.Sprintf("; an empty line keeps it apart from func %s", f.Name.Name)
		}
		return ""
	}
	return ""
}

// arguments reads the words of a directive, and reports whether all are right.
func (p *parser) arguments(dir *Directive, d ast.Directive) bool {
	args, err := d.ParseArgs()
	if err != nil {
		p.errorf(d.ArgsPos, dir.End, "bad-quotes", `quote the whole word: "tag=note:two words"`,
			"a quoted word does not end as one")
		return false
	}
	before := len(p.errs)
	for i, a := range args {
		end := d.End()
		if i+1 < len(args) {
			end = args[i+1].Pos
		}
		text := p.text(d, a.Pos, end)
		p.argument(dir, a, a.Pos+token.Pos(len(text)), text != a.Arg)
	}
	if len(dir.Words) > 0 && dir.Word == "" && len(p.errs) == before {
		p.errorf(dir.Slash, dir.End, "missing-word", "write one of: "+strings.Join(dir.Words, ", "),
			"//task:%s lacks its scope", dir.Verb)
	}
	for _, k := range dir.Keys {
		if k.Must && dir.Arg(k.Name) == nil && len(p.errs) == before {
			p.errorf(dir.Slash, dir.End, "missing-key", fmt.Sprintf("write %s=%s", k.Name, k.Kind),
				"//task:%s lacks %s=", dir.Verb, k.Name)
		}
	}
	return len(p.errs) == before
}

// text returns the source of the word that begins at pos.
func (p *parser) text(d ast.Directive, pos, end token.Pos) string {
	return strings.TrimRightFunc(d.Args[pos-d.ArgsPos:end-d.ArgsPos], unicode.IsSpace)
}

// argument reads one word of a directive.
func (p *parser) argument(dir *Directive, a ast.DirectiveArg, end token.Pos, quoted bool) {
	name, value, isKey := strings.Cut(a.Arg, "=")
	if !isKey {
		p.word(dir, a, end)
		return
	}
	k := dir.key(name)
	if k == nil {
		e := p.unknownKey(dir, name, a.Pos, end)
		if near := Nearest(name, keyNames(dir.Definition)); near != "" && !quoted {
			e.Instead = near + "=" + value
		}
		return
	}
	arg := Arg{Key: k, Pos: a.Pos, ValuePos: a.Pos + token.Pos(len(name)+1), End: end, Value: value}
	if quoted {
		arg.ValuePos = a.Pos
	} else if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "`") {
		p.errorf(arg.ValuePos, end, "bad-quotes", `quote the whole word: "`+name+`=..."`,
			"the quotes must be around the whole word, not the value alone")
		return
	}
	if first := dir.Arg(name); first != nil && !k.Repeat {
		p.errorf(a.Pos, end, "repeated-key", "", "%s= is there twice", name)
		return
	}
	if msg, hint := checkValue(k, value); msg != "" {
		p.errorf(arg.ValuePos, end, "bad-value", hint, "%s=: %s", name, msg)
		return
	}
	if msg := repeated(dir, &arg); msg != "" {
		p.errorf(arg.ValuePos, end, "repeated-value", "", "%s", msg)
		return
	}
	dir.Args = append(dir.Args, arg)
}

// repeated says that a key which may be repeated has a value twice.
func repeated(dir *Directive, arg *Arg) string {
	for _, other := range dir.All(arg.Name) {
		if arg.Kind != KindTag {
			if other.Value == arg.Value {
				return fmt.Sprintf("%s=%s is there twice", arg.Name, arg.Value)
			}
			continue
		}
		key, _ := arg.Tag()
		if k, _ := other.Tag(); k == key {
			return fmt.Sprintf("the tag %q is there twice", key)
		}
	}
	return ""
}

func (p *parser) unknownKey(dir *Directive, name string, pos, end token.Pos) *Error {
	names := keyNames(dir.Definition)
	hint := "it takes no keys"
	if dir.flag(name) != nil {
		hint = "write " + name + " alone"
	} else if near := Nearest(name, names); near != "" {
		hint = "did you mean " + near + "=?"
	} else if len(names) > 0 {
		hint = "its keys are " + strings.Join(names, ", ")
	}
	return p.addf(pos, end, "unknown-key", hint, "//task:%s on %s has no key %q", dir.Verb, dir.On, name)
}

// word reads a bare word.
func (p *parser) word(dir *Directive, a ast.DirectiveArg, end token.Pos) {
	flag := dir.flag(a.Arg)
	switch {
	case flag != nil && dir.Flag(a.Arg) != nil:
		p.errorf(a.Pos, end, "repeated-word", "", "%s is there twice", a.Arg)
	case flag != nil:
		dir.Flags = append(dir.Flags, Given{flag, a.Pos, end})
	case len(dir.Words) == 0:
		p.errorf(a.Pos, end, "bare-word", dir.wordHint(a.Arg), "//task:%s takes no bare word: %q", dir.Verb, a.Arg)
	case !slices.Contains(dir.Words, a.Arg):
		hint := "it is one of: " + strings.Join(dir.Words, ", ")
		near := Nearest(a.Arg, dir.Words)
		if near != "" {
			hint = "did you mean " + near + "?"
		}
		p.addf(a.Pos, end, "unknown-word", hint, "//task:%s knows no %q", dir.Verb, a.Arg).Instead = near
	case dir.Word != "":
		p.errorf(a.Pos, end, "repeated-word", "", "//task:%s takes one of %s, and %s is there already",
			dir.Verb, strings.Join(dir.Words, ", "), dir.Word)
	default:
		dir.Word = a.Arg
	}
}

// wordHint says what may have been meant by a bare word that the directive does
// not take.
func (d *Definition) wordHint(word string) string {
	if k := d.key(word); k != nil {
		return fmt.Sprintf("write %s=%s", k.Name, k.Kind)
	}
	var flags []string
	for _, f := range d.Flags {
		flags = append(flags, f.Name)
	}
	if near := Nearest(word, flags); near != "" {
		return "did you mean " + near + "?"
	}
	if near := Nearest(word, keyNames(d)); near != "" {
		return "did you mean " + near + "=?"
	}
	if len(d.Keys) == 0 {
		return "it takes no words"
	}
	return "each word is key=value"
}

func keyNames(d *Definition) []string {
	var names []string
	for _, k := range d.Keys {
		names = append(names, k.Name)
	}
	return names
}

// checkPairs reports declarations with more than one directive. The first
// stays.
func (p *parser) checkPairs() {
	kept := p.found[:0]
	seen := map[ast.Node]*Directive{}
	for _, d := range p.found {
		var at ast.Node = p.file
		if d.Func != nil {
			at = d.Func
		} else if d.Type != nil {
			at = d.Type
		}
		first := seen[at]
		switch {
		case d.Repeat:
			kept = append(kept, d)
		case first == nil:
			seen[at] = d
			kept = append(kept, d)
		case first.Verb == d.Verb:
			p.errorf(d.Slash, d.End, "repeated-directive", "write all keys in one directive",
				"//task:%s is there twice", d.Verb)
		default:
			p.errorf(d.Slash, d.End, "two-directives", "a function is a task or a provider",
				"//task:%s stands on what is //task:%s already", d.Verb, first.Verb)
		}
	}
	p.found = kept
}
