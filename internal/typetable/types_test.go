package typetable

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The types of the table that the standard library does not have.
type (
	Plan       string
	Level      int
	Ratio      float64
	Flags      []bool
	Scores     map[Plan]Level
	Alias      = Plan
	StructA    = Money
	Opt[T any] struct {
		Value T
		Set   bool
	}
	List[T any] []T

	Money struct {
		Currency string `json:"currency"`
		Cents    int64  `json:"cents"`
	}
	Order struct {
		ID    int
		Plan  Plan
		Items []Money
		By    map[string]*Money
		Note  *string
	}
	Base       struct{ ID int }
	base       struct{ ID int }
	Extended   struct{ Base }
	ExtendedBy struct {
		*Base
		Note string
	}
	Private struct {
		base
		Note string
	}
	PrivateBy struct {
		*base
		Note string
	}
	Shadowing struct {
		Base
		ID string
	}
	Ambiguous struct {
		Base
		Other
	}
	Other struct{ ID int }
	Tree  struct {
		Value       int
		Left, Right *Tree
	}
	Chain struct {
		Next *Chain
	}
	Nested  []Nested
	Folder  map[string]Folder
	Husband struct {
		Name string
		Wife *Wife
	}
	Wife struct {
		Name    string
		Husband *Husband
	}
	PtrTo *int
	When  *time.Time

	Invoice struct {
		Price Price      `json:",omitzero"`
		At    time.Time  `json:",omitzero"`
		Due   *time.Time `json:",omitzero"`
	}
)

// Price is zero, says its method, whatever the currency.
type Price struct {
	Cents    int
	Currency string
}

func (p Price) IsZero() bool { return p.Cents == 0 }

// Maybe is a number or null.
type Maybe struct {
	N  int
	OK bool
}

func (m Maybe) MarshalJSON() ([]byte, error) {
	if !m.OK {
		return []byte("null"), nil
	}
	return []byte(strconv.Itoa(m.N)), nil
}

func (m *Maybe) UnmarshalJSON(b []byte) (err error) {
	*m = Maybe{}
	if m.OK = string(b) != "null"; m.OK {
		m.N, err = strconv.Atoi(string(b))
	}
	return err
}

// Color encodes itself as JSON, by value.
type Color struct{ r, g, b byte }

func (c Color) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `"#%02x%02x%02x"`, c.r, c.g, c.b), nil
}

func (c *Color) UnmarshalJSON(b []byte) error {
	_, err := fmt.Sscanf(string(b), `"#%02x%02x%02x"`, &c.r, &c.g, &c.b)
	return err
}

// Side encodes itself as text.
type Side int

func (s Side) MarshalText() ([]byte, error) {
	return []byte([]string{"none", "left", "right"}[s]), nil
}

func (s *Side) UnmarshalText(b []byte) error {
	for i, text := range []string{"none", "left", "right"} {
		if text == string(b) {
			*s = Side(i)
			return nil
		}
	}
	return errors.New("no side")
}

// Secret has its methods on the pointer.
type Secret struct{ text string }

func (s *Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.text) }

func (s *Secret) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &s.text) }

// WriteOnly can be encoded, but not decoded.
type WriteOnly struct{ N int }

func (w WriteOnly) MarshalJSON() ([]byte, error) { return []byte(strconv.Itoa(w.N)), nil }

// ReadOnly can be decoded, but not encoded.
type ReadOnly struct{ N int }

func (r *ReadOnly) UnmarshalJSON(b []byte) (err error) {
	r.N, err = strconv.Atoi(string(b))
	return err
}

// ByValue decodes into a copy.
type ByValue struct{ N int }

func (v ByValue) MarshalJSON() ([]byte, error) { return []byte(strconv.Itoa(v.N)), nil }

func (v ByValue) UnmarshalJSON(b []byte) (err error) {
	v.N, err = strconv.Atoi(string(b))
	return err
}

// Mixed encodes itself as JSON and decodes itself from text.
type Mixed struct{ N int }

func (m Mixed) MarshalJSON() ([]byte, error) { return []byte(strconv.Itoa(m.N)), nil }

func (m *Mixed) UnmarshalText(b []byte) (err error) {
	m.N, err = strconv.Atoi(string(b))
	return err
}

// Noted loses its note: the methods of the embedded time are its own.
type Noted struct {
	time.Time
	Note string
}

// Stamp is a time that writes itself in a form that time.Time does not read.
type Stamp struct{ time.Time }

func (s Stamp) MarshalJSON() ([]byte, error) { return json.Marshal(s.Unix()) }

// Only is a time under another name.
type Only struct{ time.Time }

// Wrapped embeds a pointer to a type that encodes itself.
type Wrapped struct{ *Color }

// OddKey is a string that has another form as text.
type OddKey string

func (k OddKey) MarshalText() ([]byte, error) { return []byte("key-" + k), nil }

func (k *OddKey) UnmarshalText(b []byte) error {
	text, ok := strings.CutPrefix(string(b), "key-")
	if !ok {
		return errors.New("no key")
	}
	*k = OddKey(text)
	return nil
}

// WriteKey is a key that cannot be read.
type WriteKey struct{ N int }

func (k WriteKey) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(k.N)), nil }

// PtrKey has its text methods on the pointer.
type PtrKey struct{ N int }

func (k *PtrKey) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(k.N)), nil }

func (k *PtrKey) UnmarshalText(b []byte) (err error) {
	k.N, err = strconv.Atoi(string(b))
	return err
}

// PtrInside is a key that is another one each time it is read.
type PtrInside struct{ p *string }

func (k PtrInside) MarshalText() ([]byte, error) {
	if k.p == nil {
		return nil, nil
	}
	return []byte(*k.p), nil
}

func (k *PtrInside) UnmarshalText(b []byte) error {
	k.p = new(string(b))
	return nil
}
