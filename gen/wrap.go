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

// wrap breaks lines that are too long: it puts what is between the outermost
// brackets of the line on lines of their own.
func wrap(src []byte) ([]byte, error) {
	for range 8 {
		if !anyLong(src) {
			return src, nil
		}
		next, err := wrapOnce(src)
		if err != nil || bytes.Equal(next, src) {
			return src, err
		}
		src = next
	}
	return src, nil
}

func columns(line []byte) int {
	tabs := bytes.Count(line, []byte("\t"))
	return utf8.RuneCount(line) + tabs*(tabColumns-1)
}

func anyLong(src []byte) bool {
	for line := range bytes.Lines(src) {
		if columns(bytes.TrimSuffix(line, []byte("\n"))) > maxColumns {
			return true
		}
	}
	return false
}

// brackets are the places of two brackets and of what is between them.
type brackets struct {
	open, close token.Pos
	items       []token.Pos
	params      bool // of a declared function
}

// wrapOnce breaks each long line once.
func wrapOnce(src []byte) ([]byte, error) {
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
			if !isLong || len(b.items) == 0 || file.Line(b.items[0]) != line {
				continue
			}
			if file.Line(b.close) != line && !b.params {
				continue // it spans lines already
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
		b := &brackets{open: n.Lbrack, close: n.Rbrack}
		for _, t := range n.Indices {
			b.items = append(b.items, t.Pos())
		}
		return []*brackets{b}
	case *ast.FuncType:
		list := []*brackets{fieldBrackets(n.Params)}
		if n.Results != nil && n.Results.Opening.IsValid() {
			list = append(list, fieldBrackets(n.Results))
		}
		return list
	case *ast.CallExpr:
		b := &brackets{open: n.Lparen, close: n.Rparen}
		for _, a := range n.Args {
			b.items = append(b.items, a.Pos())
		}
		return []*brackets{b}
	case *ast.CompositeLit:
		b := &brackets{open: n.Lbrace, close: n.Rbrace}
		for _, e := range n.Elts {
			b.items = append(b.items, e.Pos())
		}
		return []*brackets{b}
	}
	return nil
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
// line between as fit.
func (b *brackets) edits(file *token.File, src []byte) []edit {
	edits := []edit{{file.Offset(b.open) + 1, "\n"}}
	start := file.Offset(b.open) + 1
	limit := maxColumns - indent(src, file, b.open) - tabColumns
	for i, item := range b.items {
		end := file.Offset(b.close)
		if i+1 < len(b.items) {
			end = file.Offset(b.items[i+1]) - 1
		}
		if i > 0 && firstWidth(src[start:end])+1 > limit {
			edits = append(edits, edit{file.Offset(item), "\n"})
			start = file.Offset(item)
		}
	}
	return append(edits, edit{file.Offset(b.close), ",\n"})
}

// firstWidth is the width of the first line of a text.
func firstWidth(text []byte) int {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return columns(line)
}

// indent is how far the line of pos is indented.
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
