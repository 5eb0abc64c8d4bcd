package gen

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"unicode/utf8"
)

const (
	maxColumns = 120
	tabColumns = 4
)

// wrap breaks lines that are too long: it puts the items between the outermost
// brackets of the line on lines of their own. It does so with the parameters
// of a function, too, if one of them takes lines itself, as a struct type
// does. It looks only at the declarations that have such lines.
func wrap(src []byte) ([]byte, error) {
	if !anyUgly(src) {
		return src, nil
	}
	var out []byte
	for _, part := range declarations(src) {
		for range 8 {
			if !anyUgly(part) {
				break
			}
			next, err := wrapOnce(part)
			if err != nil {
				return nil, err
			}
			if bytes.Equal(next, part) {
				break
			}
			part = next
		}
		out = append(out, part...)
	}
	return out, nil
}

// declarations cuts a formatted file before each function, so that each part
// can be parsed by itself.
func declarations(src []byte) [][]byte {
	var parts [][]byte
	for {
		i := bytes.Index(src, []byte("\nfunc "))
		if i < 0 {
			return append(parts, src)
		}
		// A function ends where a line begins with its closing brace.
		end := bytes.Index(src[i:], []byte("\n}\n"))
		if end < 0 {
			return append(parts, src)
		}
		parts = append(parts, src[:i+1], src[i+1:i+end+3])
		src = src[i+end+3:]
	}
}

func columns(line []byte) int {
	tabs := bytes.Count(line, []byte("\t"))
	return utf8.RuneCount(line) + tabs*(tabColumns-1)
}

// anyUgly reports whether a line is too long, or begins a function and ends
// within a struct type.
func anyUgly(src []byte) bool {
	for line := range bytes.Lines(src) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if columns(line) > maxColumns ||
			bytes.HasPrefix(line, []byte("func ")) && bytes.HasSuffix(line, []byte("struct {")) {
			return true
		}
	}
	return false
}

// brackets are the places of two brackets and of the items between them.
type brackets struct {
	open, close token.Pos
	items       []token.Pos
	params      bool // of a declared function
}

const fragment = "package p\n"

// wrapOnce breaks each such line of a part of a file once.
func wrapOnce(part []byte) ([]byte, error) {
	if !bytes.Contains(part, []byte("\npackage ")) {
		part = append([]byte(fragment), part...)
		out, err := wrapFile(part)
		out, _ = bytes.CutPrefix(out, []byte(fragment))
		if !bytes.HasPrefix(part[len(fragment):], []byte("\n")) {
			out = bytes.TrimPrefix(out, []byte("\n"))
		}
		return out, err
	}
	return wrapFile(part)
}

func wrapFile(src []byte) ([]byte, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	file := fset.File(f.Pos())
	long := map[int]*brackets{} // by line
	n := 0
	for line := range bytes.Lines(src) {
		if n++; columns(bytes.TrimSuffix(line, []byte("\n"))) > maxColumns {
			long[n] = nil
		}
	}
	ast.Inspect(f, func(node ast.Node) bool {
		for _, b := range bracketsOf(node) {
			line := file.Line(b.open)
			best, isLong := long[line]
			spans := file.Line(b.close) != line
			if len(b.items) == 0 || file.Line(b.items[0]) != line {
				continue // it has been broken
			}
			if spans && !b.params || !spans && !isLong {
				continue
			}
			if best == nil || best.open > b.open {
				long[line] = b
			}
		}
		return true
	})
	var edits []edit
	for _, b := range long {
		if b != nil {
			edits = append(edits, b.edits(file, src)...)
		}
	}
	if len(edits) == 0 {
		return src, nil
	}
	return format.Source(apply(src, edits))
}

func bracketsOf(node ast.Node) []*brackets {
	switch n := node.(type) {
	case *ast.FuncDecl:
		b := fieldBrackets(n.Type.Params)
		b.params = true
		return []*brackets{b}
	case *ast.IndexListExpr:
		return []*brackets{exprBrackets(n.Lbrack, n.Rbrack, n.Indices)}
	case *ast.FuncType:
		list := []*brackets{fieldBrackets(n.Params)}
		if n.Results != nil && n.Results.Opening.IsValid() {
			list = append(list, fieldBrackets(n.Results))
		}
		return list
	case *ast.CallExpr:
		return []*brackets{exprBrackets(n.Lparen, n.Rparen, n.Args)}
	case *ast.CompositeLit:
		return []*brackets{exprBrackets(n.Lbrace, n.Rbrace, n.Elts)}
	}
	return nil
}

func exprBrackets(from, to token.Pos, items []ast.Expr) *brackets {
	b := &brackets{open: from, close: to}
	for _, item := range items {
		b.items = append(b.items, item.Pos())
	}
	return b
}

func fieldBrackets(l *ast.FieldList) *brackets {
	b := &brackets{open: l.Opening, close: l.Closing}
	for _, f := range l.List {
		b.items = append(b.items, f.Pos())
	}
	return b
}

// edit inserts text at an offset.
type edit struct {
	at   int
	text string
}

// edits puts the brackets on lines of their own, with as many items on each
// line between as fit. An item that takes lines itself shares none of them.
func (b *brackets) edits(file *token.File, src []byte) []edit {
	edits := []edit{{file.Offset(b.open) + 1, "\n"}}
	start := file.Offset(b.open) + 1
	limit := maxColumns - indent(src, file, b.open) - tabColumns
	spanned := false
	for i, item := range b.items {
		end := file.Offset(b.close)
		if i+1 < len(b.items) {
			end = file.Offset(b.items[i+1]) - 1
		}
		spans := bytes.IndexByte(src[file.Offset(item):end], '\n') >= 0
		apart := spans || spanned
		spanned = spans
		if i > 0 && (apart || columns(src[start:end])+1 > limit) {
			edits = append(edits, edit{file.Offset(item), "\n"})
			start = file.Offset(item)
		}
	}
	return append(edits, edit{file.Offset(b.close), ",\n"})
}

// indent returns how far the line of pos is indented.
func indent(src []byte, file *token.File, pos token.Pos) int {
	line := src[file.Offset(file.LineStart(file.Line(pos))):]
	return tabColumns * (len(line) - len(bytes.TrimLeft(line, "\t")))
}

func apply(src []byte, edits []edit) []byte {
	byPos := map[int]string{}
	for _, e := range edits {
		byPos[e.at] += e.text
	}
	out := make([]byte, 0, len(src)+8*len(edits))
	for i, c := range src {
		out = append(out, byPos[i]...)
		out = append(out, c)
	}
	return out
}
