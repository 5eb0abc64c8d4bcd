package runtime

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/wire"
)

// A task that was enqueued by another version is recognised by its signature.
func TestDefinition_Signatures(t *testing.T) {
	task := &wire.Definition{Spec: wire.Spec{Params: []wire.Param{
		{Name: "id", Sig: "string"}, {Name: "orders", Sig: "map[string]*Order:9f86d081"}, {Name: "note", Sig: "string", Optional: true},
	}}}
	for sig, want := range map[string]string{
		"": "",
		"id:string orders:map[string]*Order:9f86d081 note:string": "",
		"orders:map[string]*Order:9f86d081 id:string":             "",
		"id:string orders:map[string]*Bestellung2:9f86d081":       "",
		"id:string": `without parameter "orders"`,
		"id:int64 orders:map[string]*Order:9f86d081":                     `parameter "id" of type int64, here string`,
		"id:string orders:map[string]*Order:00000000":                    `parameter "orders" of type map[string]*Order:00000000`,
		"id:string orders:map[string]Order:9f86d081":                     `parameter "orders" of type map[string]Order:9f86d081`,
		"id:string orders:map[string]*Order:9f86d081 extra:bool":         `parameter "extra" that this one does not have`,
		"id:string orders:map[string]*Order:9f86d081 note:Text:9f86d081": `parameter "note" of type Text:9f86d081`,
	} {
		err := accepts(task, sig)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", sig, err, want)
		}
	}
}

// TestDefinition_StructsGrow: fields that may be left out may be others, but of one
// type; a fingerprint without a list of them, as older versions made, is that of all
// fields.
func TestDefinition_StructsGrow(t *testing.T) {
	task := &wire.Definition{Spec: wire.Spec{Params: []wire.Param{
		{Name: "orders", Sig: "[]*Order:9f86d081{1a2b3c4d;coupon=string;lines[].gift=bool}"},
	}}}
	for sig, want := range map[string]string{
		"[]*Order:9f86d081":                                         "",
		"[]*Order:1a2b3c4d":                                         "",
		"[]*Order:9f86d081{00000000;coupon=int}":                    "", // the same with other options
		"[]*Purchase:00000000{1a2b3c4d;coupon=string}":              "",
		"[]*Order:00000000{1a2b3c4d;lines[].gift=bool;more=string}": "",
		"[]*Order:00000000":                                         "of type []*Order:00000000, here []*Order:9f86d081",
		"[]Order:1a2b3c4d":                                          "of type []Order:1a2b3c4d",
		"[]*Order:00000000{9f86d081;coupon=string}":                 "of type []*Order:00000000, here",
		"[]*Order:00000000{1a2b3c4d;coupon=int64}":                  `with coupon of parameter "orders" as int64, here string`,
		"[]*Order:00000000{1a2b3c4d;lines[].gift=}":                 `with lines[].gift of parameter "orders" as , here bool`,
		"[]*Order:00000000{":                                        "of type",
		"{}":                                                        "of type",
	} {
		err := accepts(task, "orders:"+sig)
		if want == "" {
			require.NoError(t, err, sig)
		} else {
			require.ErrorContains(t, err, want, sig)
		}
	}
}
