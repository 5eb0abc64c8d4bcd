package annotations

import (
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"time"
)

// Directive is a directive of a file that follows the grammar.
type Directive struct {
	*Definition
	// Slash and End are where the comment begins and ends.
	Slash, End token.Pos
	// Func or Type is the declaration it stands on; both are nil on the package
	// clause.
	Func *ast.FuncDecl
	Type *ast.TypeSpec
	// Word is the bare word, if the directive has one.
	Word string
	// Flags are the flags that were given, in the order of the source.
	Flags []Given
	// Args are the keys that were given, in the order of the source.
	Args []Arg
}

// Given is a flag where it was given.
type Given struct {
	*Flag
	Pos, End token.Pos
}

// Flag returns the flag if it was given, or nil.
func (d *Directive) Flag(name string) *Given {
	for i := range d.Flags {
		if d.Flags[i].Name == name {
			return &d.Flags[i]
		}
	}
	return nil
}

// Arg is a key of a directive with its value.
type Arg struct {
	*Key
	// Pos and End are where the word begins and ends, ValuePos where the value
	// does. In a quoted word ValuePos is Pos.
	Pos, ValuePos, End token.Pos
	// Value is the text after the equals sign. It is valid for the key's kind.
	Value string
}

// Arg returns the key's last value, or nil if it was not given.
func (d *Directive) Arg(key string) *Arg {
	for i := len(d.Args) - 1; i >= 0; i-- {
		if d.Args[i].Name == key {
			return &d.Args[i]
		}
	}
	return nil
}

// All returns every value of the key.
func (d *Directive) All(key string) []Arg {
	var all []Arg
	for _, a := range d.Args {
		if a.Name == key {
			all = append(all, a)
		}
	}
	return all
}

// Item is one of several names in a value.
type Item struct {
	Name     string
	Pos, End token.Pos
}

// Items returns the names of a value of [KindIdents] or [KindFuncs].
func (a *Arg) Items() []Item {
	var items []Item
	pos := a.ValuePos
	quoted := a.ValuePos == a.Pos
	for name := range strings.SplitSeq(a.Value, ",") {
		it := Item{Name: name, Pos: pos, End: pos + token.Pos(len(name))}
		if quoted {
			it.Pos, it.End = a.Pos, a.End
		}
		items = append(items, it)
		pos += token.Pos(len(name) + 1)
	}
	return items
}

// Duration returns a value of [KindDuration] or [KindPeriod].
func (a *Arg) Duration() time.Duration {
	d, _ := time.ParseDuration(a.Value)
	return d
}

// Hold returns a value of [KindHold]: the period, or else one of the words.
func (a *Arg) Hold() (period time.Duration, word string) {
	if a.Value == HoldActive || a.Value == HoldWaiting {
		return 0, a.Value
	}
	return a.Duration(), ""
}

// Count returns a value of [KindCount], [KindPriority] or [KindLimit].
func (a *Arg) Count() int {
	n, _ := strconv.Atoi(a.Value)
	return n
}

// LimitBy returns the two parts of a value of [KindLimitBy]: the parameter and the
// number.
func (a *Arg) LimitBy() (Item, int) {
	param, n, _ := strings.Cut(a.Value, ":")
	it := Item{Name: param, Pos: a.ValuePos, End: a.ValuePos + token.Pos(len(param))}
	if a.ValuePos == a.Pos { // quoted
		it.Pos, it.End = a.Pos, a.End
	}
	most, _ := strconv.Atoi(n)
	return it, most
}

// Rate returns the two parts of a value of [KindRate]: how many in which time.
func (a *Arg) Rate() (n int, per time.Duration) {
	n, per, _, _ = parseRate(a.Value)
	return n, per
}

// RateBy returns the parts of a value of [KindRateBy]: the parameter, and how many in
// which time.
func (a *Arg) RateBy() (param Item, n int, per time.Duration) {
	param, _ = a.LimitBy()
	_, rate, _ := strings.Cut(a.Value, ":")
	n, per, _, _ = parseRate(rate)
	return param, n, per
}

// Rename returns the two parts of a value of [KindRename]: the parameter and its
// key.
func (a *Arg) Rename() (Item, string) {
	param, key, _ := strings.Cut(a.Value, ":")
	it := Item{Name: param, Pos: a.ValuePos, End: a.ValuePos + token.Pos(len(param))}
	if a.ValuePos == a.Pos { // quoted
		it.Pos, it.End = a.Pos, a.End
	}
	return it, key
}

// Factor returns a value of [KindFactor].
func (a *Arg) Factor() float64 {
	f, _ := strconv.ParseFloat(a.Value, 64)
	return f
}

// Tag returns the two parts of a value of [KindTag].
func (a *Arg) Tag() (key, value string) {
	key, value, _ = strings.Cut(a.Value, ":")
	return key, value
}

// Error is a mistake in a directive, or in a comment that resembles one.
type Error struct {
	Pos, End token.Pos
	// Code names the kind of mistake, such as "unknown-key".
	Code string
	// Msg describes the mistake, and Hint, which may be empty, its mend.
	Msg, Hint string
	// Instead is the likely replacement of Pos to End. It is empty without
	// one.
	Instead string
}

// Error returns the message, with the hint after it.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + "; " + e.Hint
}
