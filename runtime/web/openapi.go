package web

import (
	"cmp"
	"encoding"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// object is a JSON object.
type object = map[string]any

// describe serves the description of the API, made of its operations.
func (h *handler) describe() {
	slices.SortStableFunc(h.api, func(x, y operation) int {
		return cmp.Or(cmp.Compare(x.path, y.path), cmp.Compare(x.method, y.method))
	})
	document := describe(h.api)
	h.mux.HandleFunc("GET /api/openapi.json", func(_ http.ResponseWriter, r *http.Request) {
		q := requestOf(r)
		if _, err := q.run(View, func() (any, error) { return nil, nil }); err != nil {
			q.fail(err)
			return
		}
		q.writeJSON(http.StatusOK, document)
	})
}

func describe(api []operation) object {
	d := describer{schemas: make(object)}
	paths := make(object)
	for _, op := range api {
		item, ok := paths[op.path].(object)
		if !ok {
			item = make(object)
			paths[op.path] = item
		}
		item[strings.ToLower(op.method)] = d.operation(op)
	}
	paths["/api/events"] = object{"get": object{
		"summary":     "Server-sent events: \"change\" when something has changed.",
		"operationId": "getEvents",
		"parameters":  d.parameters(operation{method: http.MethodGet, in: reflect.TypeFor[eventsIn]()}),
		"responses": object{"200": object{
			"description": "A stream that ends after half a minute.",
			"content":     object{"text/event-stream": object{"schema": object{"type": "string"}}},
		}, "default": d.failure()},
	}}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "taskctx", "version": "1",
			"description": "What the dashboard shows and does. Paths are relative to where it is mounted.",
		},
		"servers":    []any{object{"url": ".."}},
		"paths":      paths,
		"components": object{"schemas": d.schemas},
	}
}

// describer collects the schemas of types.
type describer struct{ schemas object }

func (d *describer) operation(op operation) object {
	o := object{
		"summary":          op.summary,
		"operationId":      operationID(op),
		"x-taskctx-action": string(op.action),
		"responses": object{
			"200":     object{"description": "Done.", "content": object{"application/json": object{"schema": d.schema(op.out)}}},
			"default": d.failure(),
		},
	}
	if ps := d.parameters(op); len(ps) > 0 {
		o["parameters"] = ps
	}
	if op.method == http.MethodPost && slices.ContainsFunc(reflect.VisibleFields(op.in), inBody) {
		o["requestBody"] = object{"content": object{"application/json": object{"schema": d.schema(op.in)}}}
	}
	return o
}

func (d *describer) failure() object {
	return object{
		"description": "An error.",
		"content":     object{"application/json": object{"schema": d.schema(reflect.TypeFor[apiError]())}},
	}
}

// operationID names an operation: getTasksId, postTasksIdRetry.
func operationID(op operation) string {
	id := strings.ToLower(op.method)
	for part := range strings.SplitSeq(strings.TrimPrefix(op.path, "/api/"), "/") {
		part = strings.Trim(part, "{}")
		id += strings.ToUpper(part[:1]) + part[1:]
	}
	return id
}

func (d *describer) parameters(op operation) []any {
	var ps []any
	for _, f := range reflect.VisibleFields(op.in) {
		p := object{"description": f.Tag.Get("doc")}
		if name, ok := f.Tag.Lookup("path"); ok {
			p["name"], p["in"], p["required"] = name, "path", true
		} else if name, ok := f.Tag.Lookup("query"); ok && op.method == http.MethodGet {
			p["name"], p["in"] = name, "query"
		} else {
			continue
		}
		p["schema"] = d.schema(f.Type)
		ps = append(ps, p)
	}
	return ps
}

var (
	textType = reflect.TypeFor[encoding.TextMarshaler]()
	jsonType = reflect.TypeFor[json.Marshaler]()
)

// schema describes a type as encoding/json writes it.
func (d *describer) schema(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[uuid.UUID]():
		return object{"type": "string", "format": "uuid"}
	case reflect.TypeFor[json.RawMessage]():
		return object{"description": "any JSON"}
	case reflect.TypeFor[inspect.Tags]():
		return object{"type": "object", "additionalProperties": object{"type": "string"}}
	case reflect.TypeFor[engine.State]():
		return object{"type": "string", "enum": engine.States()}
	case reflect.TypeFor[slog.Level]():
		return object{"type": "string"}
	case reflect.TypeFor[duration]():
		return object{"type": "string", "description": "a duration, such as 1m30s"}
	}
	if t.Implements(textType) {
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		return d.structure(t)
	}
	panic("web: the API has a value of type " + t.String())
}

// structure describes a struct once, and refers to it.
func (d *describer) structure(t reflect.Type) object {
	if t.Implements(jsonType) {
		panic("web: " + t.String() + " writes its own JSON, of which nothing is known here")
	}
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	ref := object{"$ref": "#/components/schemas/" + name}
	if d.schemas[name] != nil {
		return ref
	}
	properties, required := make(object), []string{}
	d.schemas[name] = object{} // it may refer to itself
	for _, f := range reflect.VisibleFields(t) {
		if !inBody(f) {
			continue
		}
		s := d.schema(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" && s["$ref"] == nil {
			s["description"] = doc
		}
		key := jsonName(f)
		properties[key] = s
		if _, opts, _ := strings.Cut(f.Tag.Get("json"), ","); !strings.Contains(opts, "omit") {
			required = append(required, key)
		}
	}
	schema := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	d.schemas[name] = schema
	return ref
}
