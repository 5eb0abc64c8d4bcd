package wiretype_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/gen/wiretype"
)

// load type-checks declarations and returns the types of the variables in it.
func load(t *testing.T, decls string) map[string]types.Type {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", "package p\n"+decls, 0)
	if err != nil {
		t.Fatal(err)
	}
	conf := types.Config{Importer: importer.Default()}
	pkg, err := conf.Check("example.com/p", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]types.Type{}
	for _, name := range pkg.Scope().Names() {
		if v, ok := pkg.Scope().Lookup(name).(*types.Var); ok {
			vars[name] = v.Type()
		}
	}
	return vars
}

const common = `
import ("math/big"; "net/netip"; "time"; "encoding/json"; "net/url")

type Plan string
type Item struct {
	Name  string
	Price big.Float
}
type Order struct {
	Items []Item
	Next  *Order
	By    map[Plan]time.Time
}
type Cents int
func (Cents) Validate() error { return nil }
type Grade int
func (*Grade) Validate() error { return nil }
type Valid int
func (Valid) Validate() bool { return true }
type Base struct{ ID int }
type Stamp struct{ time.Time }
func (Stamp) MarshalJSON() ([]byte, error) { return nil, nil }
type Only struct{ time.Time }
type Noted struct{ time.Time; Note string }
type onPtr struct{ N int }
func (*onPtr) MarshalJSON() ([]byte, error) { return nil, nil }
func (*onPtr) UnmarshalJSON([]byte) error { return nil }
type tree struct { V int; L, R *tree }
type Opt[T any] struct{ V T; OK bool }
type when *time.Time
type whence *Base
type level int
func (level) MarshalText() ([]byte, error) { return nil, nil }
func (*level) UnmarshalText([]byte) error { return nil }
`

func TestCheck(t *testing.T) {
	tests := []struct{ typ, want string }{
		{"string", ""},
		{"Plan", ""},
		{"Order", ".Items[].Price: big.Float loses its precision and rounding mode"},
		{"*Only", ""},
		{"Noted", ": p.Noted encodes itself by MarshalJSON of its embedded field Time, which leaves out the others"},
		{"Stamp", ": MarshalJSON and UnmarshalJSON of p.Stamp are not from the same type: the one does not read what the other writes"},
		{"onPtr", ": MarshalJSON of p.onPtr has a pointer receiver, so encoding/json does not always use it"},
		{"*onPtr", ""},
		{"[]onPtr", "[]: MarshalJSON of p.onPtr has a pointer receiver, so encoding/json does not always use it"},
		{"map[string]*onPtr", ""},
		{"tree", ""},
		{"Opt[Opt[Plan]]", ""},
		{"Opt[any]", ".V: any is an interface: JSON does not keep which type was in it"},
		{"error", ": error is an interface: JSON does not keep which type was in it"},
		{"**int", ": JSON does not tell a nil **int from a pointer to a null *int"},
		{"*json.RawMessage", ": JSON does not tell a nil *json.RawMessage from a pointer to a null json.RawMessage"},
		{"json.RawMessage", ""},
		{"*big.Int", ""},
		{"big.Int", ": big.Int by value encodes itself only where it can be addressed"},
		{"*big.Float", ": big.Float loses its precision and rounding mode"},
		{"url.URL", ": url.URL loses its user and password"},
		{"map[netip.Addr]level", ""},
		{"map[level]netip.Addr", ""},
		{"map[float64]int", "[key]: JSON has no keys of type float64"},
		{"map[time.Time]int", "[key]: time.Time is no good as a key: the same time in another zone, or when it comes back, is another key"},
		{"struct{ a int; B int }", ".a: encoding/json leaves out fields that are not exported"},
		{"struct{ Base; ID string }", `.Base.ID: another field has the key "ID" too, so encoding/json leaves this one out`},
		{"struct{ A []int `json:\",omitempty\"` }", ".A: omitempty makes an empty []int come back as nil"},
		{"struct{ A []int `json:\",omitzero\"`; B int `json:\"b,omitempty,string\"` }", ""},
		{"struct{ A int `json:\"x\"`; B int `json:\"x\"` }", `.A: another field has the key "x" too, so encoding/json leaves this one out` +
			"\n" + `.B: another field has the key "x" too, so encoding/json leaves this one out`},
		{"struct{ A json.RawMessage `json:\",omitempty\"` }", ""},
		{"struct{ A int `json:\"a (b)\"` }", ""},
		{"struct{ A int `json:\"customer's id\"` }", `.A: the key "customer's id" in its tag is one to Go 1.27 and none to Go 1.26`},
		{"struct{ A int `json:\"🔥,omitempty\"` }", `.A: the key "🔥" in its tag is one to Go 1.27 and none to Go 1.26`},
		{"struct{ A []int `json:\",omitempty \"` }", `.A: the option "omitempty " in its tag is one to Go 1.27 and none to Go 1.26`},
		{"struct{ A int `json:\"a,string:x\"` }", `.A: the option "string:x" in its tag is one to Go 1.27 and none to Go 1.26`},
		{"struct{ A time.Time `json:\",format:RFC1123\"` }", `.A: Go 1.26 does not know the option "format" in its tag`},
		{"struct{ A map[string]int `json:\",embed\"` }", `.A: Go 1.26 does not know the option "embed" in its tag`},
		{"struct{ A map[string]int `json:\",inline,omitZero,'omitempty'\"` }", ""},
		{"when", ": p.when is a pointer type of its own, for which encoding/json does not find the methods of time.Time"},
		{"[]when", "[]: p.when is a pointer type of its own, for which encoding/json does not find the methods of time.Time"},
		{"whence", ""},
		{"struct{ time.Time }", ": struct{time.Time} has no name, so encoding/json does not find the methods of its embedded field Time when it decodes"},
		{"*struct{ time.Time }", ""},
		{"chan int", ": JSON has no channels"},
		{"[]func()", "[]: JSON has no functions"},
		{"complex64", ": JSON has no complex numbers"},
		{"uintptr", ": uintptr is an address, which means nothing in another process"},
	}
	for _, test := range tests {
		t.Run(test.typ, func(t *testing.T) {
			v := load(t, common+"var V "+test.typ+"\nvar _ url.URL; var _ netip.Addr; var _ json.Number")["V"]
			var got []string
			for _, p := range wiretype.Check(v, nil) {
				got = append(got, p.Path+": "+p.Reason)
				if p.Fix == "" {
					t.Errorf("%s has no fix", p.Path)
				}
			}
			if g := strings.Join(got, "\n"); g != test.want {
				t.Errorf("got\n%s\nwant\n%s", g, test.want)
			}
		})
	}
}

func TestKind_AndFingerprint(t *testing.T) {
	tests := []struct{ typ, method, convert, print string }{
		{"string", "String", "", "string"},
		{"byte", "Uint8", "", "uint8"},
		{"rune", "Int32", "", "int32"},
		{"Plan", "String", "string", "string"},
		{"level", "JSON", "", "p.level"},
		{"Cents", "JSON", "", "int"},
		{"Grade", "JSON", "", "int"},
		{"Valid", "Int", "int", "int"},
		{"time.Time", "Time", "", "time.Time"},
		{"time.Duration", "Int64", "int64", "time.Duration"},
		{"time.Month", "Int", "int", "int"},
		{"[]Plan", "JSON", "", "[]string"},
		{"[]byte", "JSON", "", "[]byte"},
		{"map[Plan][4]*time.Time", "JSON", "", "map[string][4]*time.Time"},
		{"*big.Int", "JSON", "", "*big.Int"},
		{"json.RawMessage", "JSON", "", "json.RawMessage"},
		{"Base", "JSON", "", "Base:8861c40c"},
		{"tree", "JSON", "", "tree:9aae9eba"},
		{"[]Opt[Base]", "JSON", "", "[]Opt:52798aca"},
		{"struct{ ID int }", "JSON", "", "struct:8861c40c"},
	}
	for _, test := range tests {
		t.Run(test.typ, func(t *testing.T) {
			v := load(t, common+"var V "+test.typ+"\nvar _ url.URL; var _ netip.Addr; var _ json.Number")["V"]
			method, convert := wiretype.Kind(v)
			got := fmt.Sprint(method, " ", convert, " ", wiretype.Fingerprint(v))
			if want := fmt.Sprint(test.method, " ", test.convert, " ", test.print); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// Proves: FEATURES 73
func TestFingerprint_Hash(t *testing.T) {
	v := load(t, `
		type A struct { X int; Y []B }
		type B struct { P string; Q *A }
		type A2 struct { Y []B2; X int }
		type B2 struct { Q *A2; P Text }
		type Text string
		type A3 struct { X int64; Y []B }
		type A4 struct { X int `+"`json:\",string\"`"+`; Y []B }
		type A5 struct { X int; Z []B }
		var V1 A; var V2 A2; var V3 A3; var V4 A4; var V5 A5`)
	hash := func(name string) string {
		_, h, _ := strings.Cut(wiretype.Fingerprint(v[name]), ":")
		return h
	}
	if hash("V1") != hash("V2") {
		t.Error("names of types, and the order of fields, change the hash")
	}
	for _, name := range []string{"V3", "V4", "V5"} {
		if hash(name) == hash("V1") {
			t.Errorf("%s has the hash of V1", name)
		}
	}
}

// Whatever type-checks, Check, Kind and Fingerprint have an answer.
func FuzzTypes(f *testing.F) {
	f.Add("type T struct{ A []T; B map[string]*T `json:\",omitempty\"` }")
	f.Add("type T[P any] struct{ A P; N *T[P] }; type U T[U]; type V struct{ U; *V }")
	f.Add("type T struct{ t; *u }; type t struct{ T int }; type u struct{ T int `json:\"T\"` }")
	f.Add("type T []T; type M map[K]M; type K [2]K2; type K2 string; func (T) MarshalJSON() ([]byte, error)")
	f.Add("type T interface{ M(T) }; type A = struct{ A T }; type P *P; type F func(F) chan<- F")
	f.Add("type E struct{ E2 }; type E2 struct{ error }; func (*E2) UnmarshalText(b []byte) error { return nil }")
	f.Fuzz(func(t *testing.T, decls string) {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "p.go", "package p\n"+decls, 0)
		if err != nil {
			return
		}
		conf := types.Config{Error: func(error) {}}
		pkg, _ := conf.Check("example.com/p", fset, []*ast.File{file}, nil)
		if pkg == nil {
			return
		}
		for _, name := range pkg.Scope().Names() {
			typ := pkg.Scope().Lookup(name).Type()
			problems := wiretype.Check(typ, nil)
			method, convert := wiretype.Kind(typ)
			print := wiretype.Fingerprint(typ)
			if method == "" || print == "" || convert != "" && method == "JSON" {
				t.Errorf("%s: %q %q %q", typ, method, convert, print)
			}
			if len(problems) == 0 && strings.ContainsAny(print, " \t\n") {
				t.Errorf("%s: white space in the fingerprint %q", typ, print)
			}
			for _, p := range problems {
				if p.Reason == "" || p.Fix == "" {
					t.Errorf("%s: %+v", typ, p)
				}
			}
		}
	})
}

// Types that would be enormous if written out cost no more than others.
func TestCheck_LargeTypes(t *testing.T) {
	var chain, ring, diamond strings.Builder
	const n = 60
	for i := range n {
		fmt.Fprintf(&chain, "type C%d struct{ A, B *C%d }\n", i, i+1)
		fmt.Fprintf(&ring, "type R%d struct{ A, B *R%d }\n", i, (i+1)%n)
		fmt.Fprintf(&diamond, "type D%d struct{ *L%d; *M%d }; type L%d struct{ *D%d }; type M%d struct{ *D%d }\n", i, i, i, i, i+1, i, i+1)
	}
	fmt.Fprintf(&chain, "type C%d struct{ V int }\n", n)
	fmt.Fprintf(&diamond, "type D%d struct{ V int }\n", n)
	v := load(t, chain.String()+ring.String()+diamond.String()+"var C C0; var R R0; var D D0")
	for _, name := range []string{"C", "R"} {
		if p := wiretype.Check(v[name], nil); len(p) > 0 {
			t.Errorf("%s: %v", name, p)
		}
		if print := wiretype.Fingerprint(v[name]); len(print) != len("C0:12345678") {
			t.Errorf("%s has the fingerprint %s", name, print)
		}
	}
	if len(wiretype.Check(v["D"], nil)) == 0 {
		t.Error("fields that hide each other are accepted")
	}
	wiretype.Fingerprint(v["D"])
}
