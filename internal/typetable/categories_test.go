package typetable

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"html/template"
	"image"
	"image/color"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/google/uuid"
)

type group struct {
	name       string
	categories []*category
}

var (
	berlin = time.FixedZone("CET", 3600)
	at     = time.Date(2024, 2, 29, 23, 59, 58, 123456789, berlin)
	number = 42

	eachOther = "Go 1.27 and Go 1.26 do not read each other's"
	money     = Money{"EUR", 1999}
	text      = "<a href=\"x\">&amp;\u2028 \x00 \x7f é 漢 😀 \ufffd"
)

var groups = []group{
	{"Basic types", []*category{
		of("bool", true),
		of("string", "héllo", text),
		of("int", math.MaxInt, math.MinInt),
		of("int8", int8(math.MinInt8)),
		of("int16", int16(math.MinInt16)),
		of("int32 and rune", 'é', math.MinInt32),
		of("int64", int64(math.MaxInt64), int64(1<<53+1)),
		of("uint", uint(math.MaxUint)),
		of("uint8 and byte", byte(255)),
		of("uint16", uint16(math.MaxUint16)),
		of("uint32", uint32(math.MaxUint32)),
		of("uint64", uint64(math.MaxUint64)),
		of("float32", float32(0.1), math.MaxFloat32, math.SmallestNonzeroFloat32),
		of("float64", 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, -1e-7).
			noted("NaN and the infinities are errors from Enqueue"),
		of("complex64", complex64(1+2i)),
		of("complex128", 1+2i),
		of("uintptr", uintptr(1)).meaningless(),
		of("unsafe.Pointer", unsafe.Pointer(&number)),
	}},
	{"Named types, aliases and generic types", []*category{
		of("named string", Plan("pro")),
		of("named int", Level(-3)),
		of("named float", Ratio(0.5)),
		of("named slice", Flags{true, false}),
		of("named map", Scores{"pro": 1}),
		of[Alias]("alias", "pro"),
		of[StructA]("alias of a struct", money),
		of("generic struct", Opt[Order]{Order{ID: 1}, true}),
		of("generic slice", List[Opt[string]]{{"a", true}}),
		of("generic struct of any", Opt[any]{int64(1) << 53, true}),
		of[PtrTo]("named pointer", &number),
		of[When]("named pointer to what decodes itself", &at),
	}},
	{"Slices and arrays", []*category{
		of("slice", []string{"a", ""}, []string{}).noted("nil and empty stay apart"),
		of("slice of slices", [][]int{{1}, nil, {}}),
		of("slice of pointers", []*int{&number, nil}),
		of("bytes", []byte("\x00\xff"), []byte{}).noted("base64"),
		of("slice of a named byte", []Bit{1, 0}),
		of("array", [3]int{1, 2, 3}),
		of("array of bytes", [4]byte{0, 255}).noted("an array of numbers"),
		of("empty array", [0]int{}),
		of("slice of any", []any{1}),
		of("slice of functions", []func(){nil}),
	}},
	{"Maps", []*category{
		of("string keys", map[string]int{"": 1, text: 2}, map[string]int{}).noted("nil and empty stay apart"),
		of("named string keys", map[Plan][]int{"pro": {1}}),
		of("int keys", map[int]string{math.MinInt: "a"}),
		of("uint8 keys", map[uint8]bool{255: true}),
		of("uint64 keys", map[uint64]bool{math.MaxUint64: true}),
		of("keys with text methods", map[netip.Addr]int{netip.MustParseAddr("fe80::1%eth0"): 1}),
		of("array keys with text methods", map[uuid.UUID]int{uuid.Max: 1}),
		of("int keys with text methods", map[Side]int{1: 2}),
		of("string keys with text methods", map[OddKey]int{"a": 1}),
		of("keys that only encode", map[WriteKey]int{{1}: 1}),
		of("keys with text methods on the pointer", map[PtrKey]int{{1}: 1}),
		of("keys with text methods of a field", map[Noted]int{{at.UTC(), "a"}: 1}),
		of("keys with a pointer inside", map[PtrInside]int{{new("a")}: 1}),
		of("pointer keys", map[*Side]int{new(Side(1)): 1}),
		of("bool keys", map[bool]int{true: 1}),
		of("float keys", map[float64]int{0.5: 1}),
		of("struct keys", map[Base]int{{1}: 1}),
		of("array keys", map[[2]int]int{{1, 2}: 1}),
		of("interface keys", map[any]int{"a": 1}),
		of("time keys", map[time.Time]int{at: 1}),
		of("uuid.NullUUID keys", map[uuid.NullUUID]int{{}: 1}),
		of("map of any", map[string]any{"a": int64(math.MaxInt64)}),
		of("map of structs", map[string]Order{"a": {ID: 1}}),
	}},
	{"Pointers", []*category{
		of("to a basic type", &number),
		of("to a struct", &Order{Note: &text}),
		of("to an array", &[2]int{1, 2}),
		of("to a pointer", new((*int)(nil))),
		of("to a slice", new([]int(nil))),
		of("to a map", new(map[string]int(nil))),
		of("to raw JSON", new(json.RawMessage("null"))),
	}},
	{"Structs", []*category{
		of("exported fields, with and without keys", Order{1, "pro", []Money{money}, map[string]*Money{"a": &money, "b": nil}, &text}),
		of("no fields", struct{}{}),
		of("without a name", struct{ A, B int }{1, 2}),
		of("a blank field", struct {
			A int
			_ int
		}{A: 1}),
		of("an unexported field", struct {
			A int
			b int
		}{1, 2}),
		of("a field left out by its tag", struct {
			A int
			B int `json:"-"`
		}{1, 2}),
		of("a field called -", struct {
			A int `json:"-,"`
		}{1}),
		of("an invalid key in a tag", struct {
			A int `json:"a\"b"`
		}{1}).byVersion(eachOther),
		of("keys that differ only in case", struct {
			A int `json:"key"`
			B int `json:"KEY"`
		}{1, 2}),
		of("one field", Base{7}),
		of("one field of another type", Other{8}),
		of("with keys", money),
		of("an embedded struct", Extended{Base{1}}),
		of("an embedded pointer", ExtendedBy{&Base{1}, "a"}, ExtendedBy{nil, "a"}, ExtendedBy{&Base{}, ""}),
		of("an embedded struct that is not exported", Private{base{1}, "a"}),
		of("an embedded pointer that is not exported", PrivateBy{&base{1}, "a"}),
		of("an embedded struct with a key", struct {
			Base `json:"base"`
			ID   int
		}{Base{1}, 2}),
		of("an embedded string", struct{ Plan }{"pro"}),
		of("an embedded interface", struct{ error }{errors.New("a")}),
		of("an embedded pointer to nothing", struct{ *Empty }{&Empty{}}),
		of("a shadowed field", Shadowing{Base{1}, "a"}),
		of("two embedded fields of one name", Ambiguous{Base{1}, Other{2}}),
		ofEqual("without a name, an embedded time", func(a, b struct{ time.Time }) bool { return sameTime(a.Time, b.Time) },
			struct{ time.Time }{at}).byVersion("in a struct, on Go 1.26, it cannot be decoded"),
		of("a key with a quote", struct {
			A int `json:"customer's"`
		}{1}).byVersion(eachOther),
		of("a key with a sign", struct {
			A int `json:"🔥"`
		}{1}).byVersion(eachOther),
		of("a key with spaces and letters", struct {
			A int `json:"größe (cm)"`
		}{1}),
		of("a mutex in it", struct{ Mu *sync.Mutex }{locked()}),
	}},
	{"Options in tags", []*category{
		of("omitempty on basic types", struct {
			A int     `json:",omitempty"`
			B string  `json:",omitempty"`
			C float64 `json:",omitempty"`
			D bool    `json:",omitempty"`
		}{1, "a", 0.5, true}),
		of("omitempty on a pointer", struct {
			A *int `json:",omitempty"`
		}{new(0)}),
		of("omitempty on a struct and an array", struct {
			A Money  `json:",omitempty"`
			B [2]int `json:",omitempty"`
		}{money, [2]int{0, 1}}),
		of("omitempty on a slice", struct {
			A []int `json:",omitempty"`
		}{[]int{}}),
		of("omitempty on a map", struct {
			A map[string]int `json:",omitempty"`
		}{map[string]int{}}),
		of("omitempty on raw JSON", struct {
			A json.RawMessage `json:",omitempty"`
		}{json.RawMessage(`{"a":1}`)}),
		of("omitzero", struct {
			A []int          `json:",omitzero"`
			B map[string]int `json:",omitzero"`
			C Money          `json:",omitzero"`
			D time.Time      `json:",omitzero"`
		}{[]int{}, map[string]int{}, money, at.UTC()}),
		refusing(of("omitzero on a type with IsZero", Invoice{}, Invoice{Price: Price{1, "EUR"}, At: at.UTC()}),
			Invoice{Price: Price{0, "EUR"}}, Invoice{At: time.Time{}.In(berlin)}, Invoice{Due: new(time.Time)}),
		of("an option with a sign behind it", struct {
			A []int `json:",omitempty;"`
		}{[]int{}}).byVersion(eachOther),
		of("an option of Go 1.27", struct {
			A time.Time `json:",format:RFC1123"`
		}{at.UTC()}).byVersion(eachOther),
		of("an option of others", struct {
			A map[string]int `json:",inline"`
		}{map[string]int{"a": 1}}),
		of("string on numbers, bool and string", struct {
			A int64   `json:",string"`
			B float64 `json:",string"`
			C bool    `json:",string"`
			D string  `json:",string"`
			E *int64  `json:",string"`
		}{1 << 53, 0.5, true, text, nil}),
		of("string on another type", struct {
			A []int `json:",string"`
		}{[]int{1}}),
		of("string on a type with methods", struct {
			A Side `json:",string"`
		}{1}).byVersion("on Go 1.26 it cannot be decoded"),
	}},
	{"Types that encode themselves", []*category{
		of("MarshalJSON by value", Color{1, 2, 255}),
		of("a pointer to such a type", &Color{1, 2, 255}),
		of("MarshalText by value", Side(1)),
		of("MarshalJSON by pointer", Secret{"a"}),
		of("a pointer to such a type ", &Secret{"a"}),
		of("MarshalJSON that may give null", Maybe{1, true}, Maybe{}),
		refusing(of("a pointer to such a type  ", &Maybe{1, true}), &Maybe{}),
		refusing(of("pointers to such a type", []*Maybe{{1, true}, nil}), []*Maybe{{}}),
		of("in fields", struct {
			A Color
			B *Secret
			C []Side
		}{Color{1, 2, 3}, &Secret{"a"}, []Side{1, 2}}),
		of("by pointer, in a field", struct{ A Secret }{Secret{"a"}}),
		of("only MarshalJSON", WriteOnly{1}),
		of("only UnmarshalJSON", ReadOnly{1}),
		of("UnmarshalJSON by value", ByValue{1}),
		of("MarshalJSON and UnmarshalText", Mixed{1}),
		of("methods of an embedded field", Noted{at, "a"}),
		of("one method of an embedded field", Stamp{at}),
		ofEqual("methods of the only field", func(a, b Only) bool { return sameTime(a.Time, b.Time) }, Only{at}),
		of("methods of an embedded pointer", Wrapped{&Color{1, 2, 3}}),
	}},
	{"Recursive types", []*category{
		of("a tree", Tree{1, &Tree{2, nil, nil}, nil}),
		of("a chain", Chain{&Chain{&Chain{}}}).noted("one that leads to itself is an error from Enqueue"),
		of("two types", Husband{"a", &Wife{"b", &Husband{}}}),
		of("a slice of itself", Nested{{}, nil, {{}}}),
		of("a map of itself", Folder{"a": {"b": nil}, "c": {}}),
	}},
	{"Interfaces, functions, channels", []*category{
		of[any]("any", int64(math.MaxInt64)),
		of[error]("error", errors.New("a")),
		of[io.Reader]("an interface with methods", bytes.NewReader(nil)),
		of[context.Context]("context.Context", context.Background()),
		of("func", func() {}),
		of("chan", make(chan int)),
		of("struct with any", struct{ A any }{money}),
	}},
	{"The standard library", []*category{
		ofEqual("time.Time", sameTime, at, at.UTC(), time.Unix(1, 1), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)).
			noted("the instant and the zone's offset stay, not the name of the zone"),
		ofEqual("*time.Time", func(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || sameTime(*a, *b)) }, &at),
		of("time.Duration", time.Duration(math.MinInt64)),
		of("time.Month, time.Weekday", time.July),
		of("*time.Location", berlin),
		ofEqual("json.RawMessage", sameJSON, json.RawMessage(`{"a":[1.0,null]}`)).noted("a nil one comes back as null; Postgres reorders keys"),
		of("json.Number", json.Number("1e400")),
		of("url.URL", url.URL{Scheme: "https", Host: "a", User: url.UserPassword("u", "p")}),
		of("*url.URL", &url.URL{Scheme: "https", Host: "a", User: url.UserPassword("u", "p")}),
		of("url.Values, http.Header", url.Values{"a": {"b"}}),
		of("big.Int", *big.NewInt(-7)),
		ofEqual("*big.Int", func(a, b *big.Int) bool { return (a == nil) == (b == nil) && (a == nil || a.Cmp(b) == 0) },
			new(big.Int).Lsh(big.NewInt(-7), 200), new(big.Int)),
		ofEqual("*big.Rat", func(a, b *big.Rat) bool { return (a == nil) == (b == nil) && (a == nil || a.Cmp(b) == 0) }, big.NewRat(-1, 3)),
		of("*big.Float", new(big.Float).SetPrec(200).Quo(big.NewFloat(1), big.NewFloat(3))),
		of("netip.Addr", netip.MustParseAddr("::ffff:1.2.3.4"), netip.MustParseAddr("fe80::1%eth0")),
		refusing(of("netip.AddrPort", netip.MustParseAddrPort("[::1]:80"), netip.MustParseAddrPort("[::ffff:1.2.3.4%a]:80")),
			netip.AddrPortFrom(netip.Addr{}, 80)),
		refusing(of("netip.Prefix", netip.MustParsePrefix("10.0.0.0/8"), netip.PrefixFrom(netip.MustParseAddr("::ffff:1.2.3.4"), 99)),
			netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 33)),
		of("x509.OID", mustOID("1.2.3")),
		of("*x509.OID", new(mustOID("1.2.3"))),
		of("net.IP", net.IP{1, 2, 3, 4}),
		of("net.HardwareAddr", net.HardwareAddr{1, 2, 3, 4, 5, 6}),
		of("sql.NullString", sql.NullString{String: "a", Valid: true}),
		of("sql.NullTime", sql.NullTime{Time: at.UTC(), Valid: true}),
		of("sql.Null[T]", sql.Null[Money]{V: money, Valid: true}),
		of("mail.Address", mail.Address{Name: "a", Address: "a@b"}),
		of("*http.Cookie", &http.Cookie{Name: "a", Expires: at.UTC()}),
		of("*http.Request", &http.Request{Method: "GET"}),
		of("slog.Level", slog.LevelWarn+2),
		of("*slog.LevelVar", newLevel(slog.LevelWarn)),
		of("fs.FileMode", fs.ModeDir|0o755),
		of("template.HTML", template.HTML("<b>")),
		of("image.Point, color.RGBA", image.Pt(1, -1)),
		of("color.Color", color.Color(color.RGBA{1, 2, 3, 4})),
		of("*regexp.Regexp", longest("a|ab")),
		of("bytes.Buffer", *bytes.NewBufferString("a")),
		of("*atomic.Int64", newAtomic(7)),
	}},
	{"Other packages", []*category{
		of("uuid.UUID", uuid.Max),
		refusing(of("uuid.NullUUID", uuid.NullUUID{UUID: uuid.Max, Valid: true}), uuid.NullUUID{UUID: uuid.Max}),
		of("*uuid.NullUUID", new(uuid.NullUUID)),
	}},
}

type (
	// Bit is a byte of its own.
	Bit byte
	// Empty has no fields.
	Empty struct{}
)

func sameTime(a, b time.Time) bool {
	_, x := a.Zone()
	_, y := b.Zone()
	return a.Equal(b) && x == y
}

// sameJSON takes nil for null, as its method does.
func sameJSON(a, b json.RawMessage) bool {
	return string(a) == string(b) || a == nil && string(b) == "null"
}

func locked() *sync.Mutex {
	mu := new(sync.Mutex)
	mu.Lock()
	return mu
}

func longest(expr string) *regexp.Regexp {
	re := regexp.MustCompile(expr)
	re.Longest()
	return re
}

func mustOID(text string) x509.OID {
	oid, err := x509.ParseOID(text)
	if err != nil {
		panic(err)
	}
	return oid
}

func newLevel(level slog.Level) *slog.LevelVar {
	v := new(slog.LevelVar)
	v.Set(level)
	return v
}

func newAtomic(v int64) *atomic.Int64 {
	a := new(atomic.Int64)
	a.Store(v)
	return a
}
