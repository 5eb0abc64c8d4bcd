package runtime

import (
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime/wire"
)

// A task that was enqueued by another version is recognised by its signature.
func TestDefinition_Signatures(t *testing.T) {
	task := &Definition{Spec: Spec{Params: []wire.Param{
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
		err := task.accepts(sig)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", sig, err, want)
		}
	}
}
