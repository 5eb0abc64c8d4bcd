package schema

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"

	"github.com/taskctx/taskctx/gen/wiretype"
)

// draft is the version of JSON Schema.
const draft = "https://json-schema.org/draft/2020-12/schema"

type object = map[string]any

// jsonSchemas writes shapes as JSON Schema of draft 2020-12.
type jsonSchemas struct {
	defs   *defs
	all    object // the named ones
	prefix string // of a reference
}

func newJSONSchemas(prefix string) *jsonSchemas {
	return &jsonSchemas{defs: newDefs(), all: object{}, prefix: prefix}
}

// schemaName makes of a Go type's name one that a reference may have.
func schemaName(goName string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, goName), "_")
}

// of returns the schema of a shape.
func (j *jsonSchemas) of(s *wiretype.Shape) object {
	if s.Type == nil {
		schema := j.plain(s)
		if s.Null {
			return nullable(schema)
		}
		return schema
	}
	name, first := j.defs.name(s, schemaName)
	if first {
		j.all[name] = object{} // it may refer to itself
		j.all[name] = j.plain(s)
	}
	ref := object{"$ref": j.prefix + name}
	if s.Null {
		return object{"anyOf": []any{ref, object{"type": "null"}}}
	}
	return ref
}

// nullable lets null be a value too.
func nullable(schema object) object {
	if t, ok := schema["type"].(string); ok {
		schema["type"] = []any{t, "null"}
	}
	return schema
}

// plain returns the schema of a shape without null.
func (j *jsonSchemas) plain(s *wiretype.Shape) object {
	if s.Quoted {
		return quotedSchema(s)
	}
	switch s.Form {
	case wiretype.FormBool:
		return object{"type": "boolean"}
	case wiretype.FormString:
		return object{"type": "string"}
	case wiretype.FormText:
		return object{"type": "string", "description": "as " + s.Go + " of Go writes it"}
	case wiretype.FormInteger:
		return integerSchema(s)
	case wiretype.FormBig:
		return object{"type": "integer"}
	case wiretype.FormFloat:
		return object{"type": "number"}
	case wiretype.FormBytes:
		return object{"type": "string", "contentEncoding": "base64"}
	case wiretype.FormTime:
		return object{"type": "string", "format": "date-time"}
	case wiretype.FormNanos:
		return object{
			"type": "integer", "format": "int64", "description": "a duration, in nanoseconds",
			"minimum": int64(math.MinInt64), "maximum": int64(math.MaxInt64),
		}
	case wiretype.FormUUID:
		return object{"type": "string", "format": "uuid"}
	case wiretype.FormList:
		schema := object{"type": "array", "items": j.of(s.Elem)}
		if s.Len >= 0 {
			schema["minItems"], schema["maxItems"] = s.Len, s.Len
		}
		return schema
	case wiretype.FormMap:
		schema := object{"type": "object", "additionalProperties": j.of(s.Elem)}
		if s.Key.Form == wiretype.FormInteger {
			schema["propertyNames"] = object{"pattern": integerPattern(s.Key)}
		}
		return schema
	case wiretype.FormStruct:
		return j.structure(s)
	}
	if s.Go != "" && s.Go != "json.RawMessage" {
		return object{"description": "as " + s.Go + " of Go writes it"}
	}
	return object{}
}

func (j *jsonSchemas) structure(s *wiretype.Shape) object {
	properties, required := object{}, []string{}
	for _, f := range s.Fields {
		properties[f.Key] = j.of(f.Shape)
		if !f.Optional {
			required = append(required, f.Key)
		}
	}
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

func integerPattern(s *wiretype.Shape) string {
	if s.Unsigned {
		return "^(0|[1-9][0-9]*)$"
	}
	return "^-?(0|[1-9][0-9]*)$"
}

// integerSchema bounds an integer by its bits.
func integerSchema(s *wiretype.Shape) object {
	lowest, highest := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), uint(s.Bits))
	if !s.Unsigned {
		highest.Rsh(highest, 1)
		lowest.Neg(highest)
	}
	highest.Sub(highest, big.NewInt(1))
	schema := object{"type": "integer", "minimum": json.Number(lowest.String()), "maximum": json.Number(highest.String())}
	if s.Bits > 16 {
		schema["format"] = fmt.Sprintf("int%d", s.Bits)
		if s.Unsigned {
			schema["format"] = fmt.Sprintf("uint%d", s.Bits)
		}
	}
	return schema
}

// quotedSchema is the schema of a string that holds a value: the option ",string".
func quotedSchema(s *wiretype.Shape) object {
	switch s.Form {
	case wiretype.FormBool:
		return object{"type": "string", "enum": []any{"true", "false"}}
	case wiretype.FormInteger, wiretype.FormNanos:
		return object{"type": "string", "pattern": integerPattern(s)}
	case wiretype.FormFloat:
		return object{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`}
	}
	return object{"type": "string", "contentMediaType": "application/json"}
}

// arguments returns the schema of a task's arguments: one object, keyed by
// parameter. An argument of an older version may be missing.
func (j *jsonSchemas) arguments(t *task) object {
	properties, required := object{}, []string{}
	for _, p := range t.params {
		schema := j.of(p.shape)
		if p.Inline {
			return j.inline(t, &p, schema)
		}
		if p.Redact {
			schema = object{"allOf": []any{schema}, "writeOnly": true, "x-redacted": true}
		}
		properties[p.Key] = schema
		if !p.Optional {
			required = append(required, p.Key)
		}
	}
	schema := object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	if about := t.about(); about != "" {
		schema["description"] = about
	}
	return schema
}

// inline is arguments of a task whose one parameter is all of them.
func (j *jsonSchemas) inline(t *task, p *param, fields object) object {
	schema := object{"allOf": []any{fields}}
	if len(p.Secret) > 0 {
		schema["x-redacted"] = p.Secret
	}
	if about := t.about(); about != "" {
		schema["description"] = about
	}
	return schema
}

func writeJSONSchema(w io.Writer, tasks []task) error {
	j := newJSONSchemas("#/$defs/")
	properties := object{}
	for _, t := range tasks {
		task := object{"args": j.arguments(&t)}
		if t.result != nil {
			task["result"] = j.of(t.result)
		}
		properties[t.Name] = object{"type": "object", "properties": task}
	}
	return writeJSON(w, object{
		"$schema":    draft,
		"title":      "Tasks, by name: their arguments and their results",
		"type":       "object",
		"properties": properties,
		"$defs":      j.all,
	})
}

// writeOpenAPI describes the request of the web API that enqueues a task.
func writeOpenAPI(w io.Writer, tasks []task) error {
	j := newJSONSchemas("#/components/schemas/")
	var bodies []any
	for _, t := range tasks {
		bodies = append(bodies, object{
			"type": "object", "title": t.Name, "required": []string{"name", "args"}, "additionalProperties": false,
			"properties": object{
				"name": object{"const": t.Name}, "args": j.arguments(&t),
				"queue": object{"type": "string"}, "delay": object{"type": "string", "description": "such as 1m30s"},
				"due": object{"type": "string", "format": "date-time"}, "key": object{"type": "string"},
				"tags": object{"type": "object", "additionalProperties": object{"type": "string"}},
			},
		})
	}
	answer := object{"type": "object", "required": []string{"id"}, "properties": object{
		"id": object{"type": "string", "format": "uuid"}, "existing": object{"type": "boolean"},
	}}
	return writeJSON(w, object{
		"openapi": "3.1.0",
		"info":    object{"title": "Tasks", "version": "1"},
		"paths": object{"/api/tasks": object{"post": object{
			"operationId": "enqueue", "summary": "Enqueues a task by its name.",
			"requestBody": object{"required": true, "content": object{"application/json": object{"schema": object{"oneOf": bodies}}}},
			"responses": object{
				"200":     object{"description": "The task was enqueued.", "content": object{"application/json": object{"schema": answer}}},
				"default": object{"description": "It was not; the text says why."},
			},
		}}},
		"components": object{"schemas": j.all},
	})
}

// writeAsyncAPI describes the queues and the messages in them.
func writeAsyncAPI(w io.Writer, tasks []task) error {
	j := newJSONSchemas("#/components/schemas/")
	channels, operations := object{}, object{}
	for _, t := range tasks {
		queue := t.Queue
		if queue == "" {
			queue = "default"
		}
		channel, ok := channels[queue].(object)
		if !ok {
			channel = object{"address": queue, "messages": object{}}
			channels[queue] = channel
			operations["run "+queue] = object{"action": "receive", "channel": object{"$ref": "#/channels/" + pointer(queue)}}
		}
		message := object{"name": t.Name, "contentType": "application/json", "payload": j.arguments(&t)}
		if about := t.about(); about != "" {
			message["description"] = about
		}
		channel["messages"].(object)[t.Name] = message
	}
	return writeJSON(w, object{
		"asyncapi": "3.0.0",
		"info":     object{"title": "Tasks", "version": "1"},
		"channels": channels, "operations": operations,
		"components": object{"schemas": j.all},
	})
}

// pointer escapes a key for a JSON pointer.
func pointer(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
