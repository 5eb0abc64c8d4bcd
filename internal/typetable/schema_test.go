package typetable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/types"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/gen/schema"
	"github.com/taskctx/taskctx/gen/wiretype"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestSchemas: the JSON Schema of each type that survives allows every value
// that these tests send, as Enqueue writes it, and not every other JSON.
//
// Proves: FEATURES 116
func TestSchemas(t *testing.T) {
	found := typesByLine(t)
	checked := 0
	for _, g := range groups {
		for _, c := range g.categories {
			t.Run(g.name+"/"+c.what, func(t *testing.T) { checked += c.checkSchemas(t, found[c.line]) })
		}
	}
	assert.Greater(t, checked, 1000)
}

// checkSchemas checks the schemas of a category's type, by itself and inside of
// others, and returns how many values were allowed.
func (c *category) checkSchemas(t *testing.T, typ types.Type) (allowed int) {
	types := wrapped(typ)
	for _, trip := range c.trips() {
		typ := types[trip.inside]
		if len(wiretype.Check(typ, nil)) > 0 {
			continue
		}
		text, err := json.Marshal(schema.OfType(typ))
		require.NoError(t, err)
		s := compileSchema(t, text)
		v := reflect.New(trip.sent.Type())
		v.Elem().Set(trip.sent)
		f := wire.Encode()
		f.JSON("v", v.Interface())
		payload, err := f.Payload()
		if err != nil {
			continue // Enqueue refuses it
		}
		var args map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(payload, &args))
		require.NoError(t, validate(t, s, args["v"]), "%s\n%s", args["v"], text)
		if bytes.Contains(text, []byte(`"type"`)) || bytes.Contains(text, []byte("$ref")) {
			assert.True(t, refuses(t, s), "anything is allowed by %s", text)
		}
		allowed++
	}
	return allowed
}

func compileSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("type.json", doc))
	s, err := c.Compile("type.json")
	require.NoError(t, err, string(text))
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err, string(text))
	return s.Validate(v)
}

// refuses reports whether some JSON is refused, of each kind there is.
func refuses(t *testing.T, s *jsonschema.Schema) bool {
	t.Helper()
	for _, other := range []string{`true`, `"x"`, `1.5`, fmt.Sprint("1", strings.Repeat("0", 40)), `{"no such key": []}`, `[[[[true]]]]`} {
		if validate(t, s, []byte(other)) != nil {
			return true
		}
	}
	return false
}
