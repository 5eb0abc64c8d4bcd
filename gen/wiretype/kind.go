package wiretype

import "go/types"

// methodOf are the methods of wire.Fields for the basic types.
var methodOf = map[types.BasicKind]string{
	types.Bool: "Bool", types.String: "String",
	types.Int: "Int", types.Int8: "Int8", types.Int16: "Int16", types.Int32: "Int32", types.Int64: "Int64",
	types.Uint: "Uint", types.Uint8: "Uint8", types.Uint16: "Uint16", types.Uint32: "Uint32", types.Uint64: "Uint64",
	types.Float32: "Float32", types.Float64: "Float64",
}

// Kind returns the method of wire.Fields that lists a parameter of type t, and
// the basic type to convert the pointer to first, empty without a conversion:
//
//	f.Int64("cents", &a.cents)            // int64
//	f.String("plan", (*string)(&a.plan))  // type Plan string
//	f.JSON("order", &a.order)             // type Order struct { ... }
//
// A basic type that marshals or validates itself is not converted, so that its
// methods are found.
func Kind(t types.Type) (method, convertTo string) {
	if w, ok := wellKnown[qualified(t)]; ok {
		if w.method != "" {
			return w.method, ""
		}
		return "JSON", ""
	}
	t = types.Unalias(t)
	b, ok := t.Underlying().(*types.Basic)
	if !ok || methodOf[b.Kind()] == "" {
		return "JSON", ""
	}
	if _, named := t.(*types.Named); !named {
		return methodOf[b.Kind()], ""
	}
	if m := methodsOf(t); m.any() || find(t, "Validate", isValidate).there() {
		return "JSON", ""
	}
	return methodOf[b.Kind()], b.Name()
}
